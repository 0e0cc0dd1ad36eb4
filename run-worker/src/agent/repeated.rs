//! Points out calls that the model repeats although they fail in the same way. Pure: it reads the
//! conversation, so a takeover says the same.

use std::fmt::Write as _;

use model_client::Message;
use shared::runs::events::{RequestedCall, ToolResult};

use crate::tools::is_failed_command;

/// How the sentence begins. It is no part of the result that is compared.
const BEGINNING: &str = "\n[You made this same call ";

/// Adds a sentence to a failure that the model has seen before, from the second one on.
pub(super) fn point_out(messages: &[Message], call: &RequestedCall, result: &mut ToolResult) {
    let failed = result.is_error || is_failed_command(&call.name, &result.content);
    let before = if failed { same_failures(messages, call, &result.content) } else { 0 };
    if before > 0 {
        let times = before + 1;
        let _ = write!(
            result.content,
            "{BEGINNING}{times} times, and it failed in the same way each time. Change the call, or find \
             the cause first.]"
        );
    }
}

/// How many earlier calls were the same and have the same result.
fn same_failures(messages: &[Message], call: &RequestedCall, content: &str) -> usize {
    let mut same_calls: Vec<&str> = Vec::new();
    let mut count = 0;
    for message in messages {
        match message {
            Message::Assistant { calls, .. } => {
                let same = calls.iter().filter(|it| it.name == call.name && it.arguments == call.arguments);
                same_calls = same.map(|it| it.id.as_str()).collect();
            }
            Message::Tool { call: id, content: before } => {
                let is_same = same_calls.contains(&id.as_str()) && compared(before) == compared(content);
                count += usize::from(is_same);
            }
            Message::System(_) | Message::User { .. } => {}
        }
    }
    count
}

/// The result without the sentence, and without the time that a command took.
fn compared(content: &str) -> (&str, &str) {
    let content = content.rsplit_once(BEGINNING).map_or(content, |(before, _)| before);
    let (first, rest) = content.split_once('\n').unwrap_or((content, ""));
    let is_time = |text: &str| text.strip_suffix(" s").is_some_and(|number| number.parse::<f64>().is_ok());
    let timed = first.rsplit_once(", ").filter(|(_, time)| is_time(time));
    (timed.map_or(first, |(end, _)| end), rest)
}

#[cfg(test)]
mod tests {
    use super::super::events::tool_result;
    use super::*;
    use model_client::Call;
    use uuid::Uuid;

    fn requested(name: &str, arguments: &str) -> RequestedCall {
        RequestedCall {
            id: Uuid::nil(),
            provider_id: "a".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            extra: None,
        }
    }

    /// Makes the calls one after another. Returns what the last result adds.
    fn added(calls: &[(&str, &str, &str, bool)]) -> String {
        let (mut messages, mut last) = (Vec::new(), String::new());
        for (name, arguments, content, is_error) in calls {
            let call = requested(name, arguments);
            let sent = Call {
                id: call.provider_id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                extra: None,
            };
            messages.push(Message::Assistant { text: String::new(), reasoning: None, calls: vec![sent] });
            let mut result = tool_result(&call, (*content).to_owned(), *is_error);
            point_out(&messages, &call, &mut result);
            last = result.content[content.len()..].to_owned();
            messages.push(Message::Tool { call: call.provider_id, content: result.content });
        }
        last
    }

    #[test]
    fn the_same_failure_of_the_same_call_is_pointed_out() {
        let missing = ("read_file", "{\"path\":\"a\"}", "\"a\" does not exist.", true);
        let other = ("read_file", "{\"path\":\"b\"}", "\"a\" does not exist.", true);
        assert_eq!(added(&[missing]), "");
        assert_eq!(added(&[missing, other]), "");
        assert!(added(&[missing, missing]).contains("this same call 2 times"));
        assert!(added(&[missing, other, missing, missing]).contains("this same call 3 times"));
    }

    #[test]
    fn a_command_may_take_another_time_and_must_fail() {
        let ran = |content: &'static str| ("shell", "{\"script\":\"make\"}", content, false);
        let (one, later) = (ran("exit code 2, 0.1 s\nno rule"), ran("exit code 2, 31.5 s\nno rule"));
        assert!(added(&[one, later]).contains("2 times"));
        assert_eq!(added(&[one, ran("exit code 2, 0.1 s\nother rule")]), "", "it failed in another way");
        let fine = ran("exit code 0, 0.1 s\nbuilt");
        assert_eq!(added(&[fine, fine]), "");
    }
}
