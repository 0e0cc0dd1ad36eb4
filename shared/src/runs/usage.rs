//! The usage counters on a run's row are the sums over its events. The statement that appends events also
//! adds what they used.

use super::events::{EventData, LoggedMessage};

/// What one write adds to the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub steps: i32,
    pub tool_calls: i32,
    /// `None` if no server told.
    pub cached_input_tokens: Option<i64>,
    /// `None` if no server told.
    pub reasoning_tokens: Option<i64>,
}

impl UsageDelta {
    #[must_use]
    pub const fn tokens(&self) -> i64 {
        self.input_tokens + self.output_tokens
    }

    /// Each answer is a step, each `tool.call` a tool call.
    #[must_use]
    pub fn of<'e>(events: impl IntoIterator<Item = &'e EventData>) -> Self {
        events.into_iter().fold(Self::default(), |mut sum, event| {
            match event {
                EventData::Message(LoggedMessage::Assistant(answer)) => {
                    sum.input_tokens += answer.usage.input_tokens;
                    sum.output_tokens += answer.usage.output_tokens;
                    sum.steps += 1;
                    add_told(&mut sum.cached_input_tokens, answer.usage.cached_input_tokens);
                    add_told(&mut sum.reasoning_tokens, answer.usage.reasoning_tokens);
                }
                EventData::ToolCall(_) => sum.tool_calls += 1,
                _ => {}
            }
            sum
        })
    }
}

fn add_told(sum: &mut Option<i64>, more: Option<i64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0) + more);
    }
}

/// The hosts that the tool calls of these events tried to reach. The statement that appends the events adds
/// them to the run's row.
#[must_use]
pub fn contacted_hosts<'e>(events: impl IntoIterator<Item = &'e EventData>) -> Vec<&'e str> {
    let results = events.into_iter().filter_map(|event| match event {
        EventData::ToolResult(result) => Some(&result.contacted_hosts),
        _ => None,
    });
    results.flatten().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::super::events::{LoggedAnswer, StepUsage, ToolCall};
    use super::*;
    use uuid::Uuid;

    #[test]
    fn answers_count_as_steps_and_intents_as_calls() {
        let answer = LoggedAnswer {
            content: "x".to_owned(),
            finish_reason: "stop".to_owned(),
            usage: StepUsage {
                input_tokens: 3,
                output_tokens: 2,
                cached_input_tokens: Some(1),
                ..StepUsage::default()
            },
            tool_calls: Vec::new(),
            reasoning: None,
        };
        let call = ToolCall {
            call_id: Uuid::nil(),
            name: "x".to_owned(),
            arguments: String::new(),
            step: 1,
            truncated: false,
        };
        let events = [
            EventData::Message(LoggedMessage::User { content: "x".to_owned(), pictures: vec![] }),
            EventData::Message(LoggedMessage::Assistant(answer)),
            EventData::ToolCall(call.clone()),
            EventData::ToolCall(call),
        ];
        let expected = UsageDelta {
            input_tokens: 3,
            output_tokens: 2,
            steps: 1,
            tool_calls: 2,
            cached_input_tokens: Some(1),
            reasoning_tokens: None,
        };
        assert_eq!(UsageDelta::of(&events), expected);
    }
}
