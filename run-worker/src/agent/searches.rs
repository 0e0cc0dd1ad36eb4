//! How many searches a run has made. It follows from the log, so another attempt counts the same. Pure.

use model_client::Message;
use shared::tools::WEB_SEARCH;

use super::Transcript;

/// The searches that have results, errors included.
pub(super) fn made(transcript: &Transcript) -> u32 {
    let requested = transcript.messages().iter().map(|message| match message {
        Message::Assistant { calls, .. } => calls.iter().filter(|call| call.name == WEB_SEARCH).count(),
        Message::System(_) | Message::User { .. } | Message::Tool { .. } => 0,
    });
    let open = transcript.open().iter().filter(|open| open.call.name == WEB_SEARCH).count();
    u32::try_from(requested.sum::<usize>().saturating_sub(open)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shared::runs::events::{EventData, LoggedAnswer, LoggedMessage, RequestedCall, StepUsage};
    use uuid::Uuid;

    use super::super::events::tool_result;
    use super::*;

    #[test]
    fn searches_with_results_count() {
        let call = |name: &str| RequestedCall {
            id: Uuid::new_v4(),
            provider_id: name.to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
            extra: None,
        };
        let calls = vec![call(WEB_SEARCH), call("fetch_url"), call(WEB_SEARCH)];
        let answer = EventData::Message(LoggedMessage::Assistant(LoggedAnswer {
            content: String::new(),
            finish_reason: "tool_calls".to_owned(),
            usage: StepUsage::default(),
            tool_calls: calls.clone(),
            reasoning: None,
        }));
        let result = |call| EventData::ToolResult(tool_result(call, String::new(), true));
        let mut events = vec![answer];
        assert_eq!(made(&Transcript::rebuild(&events)), 0, "both are open");
        events.extend([result(&calls[0]), result(&calls[1])]);
        assert_eq!(made(&Transcript::rebuild(&events)), 1);
        events.push(result(&calls[2]));
        assert_eq!(made(&Transcript::rebuild(&events)), 2);
    }
}
