//! What a run used is what its log says: the counters on the row are changed by whatever appends events, in the same
//! statement.

use crate::events::{EventType, NewEvent};

/// What a write adds to a run's usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// Model answers.
    pub steps: i32,
    /// Calls of tools.
    pub tool_calls: i32,
}

impl UsageDelta {
    /// What these events stand for: each `message` with a `usage` is a step, each `tool.call` a call.
    #[must_use]
    pub fn of<'e>(events: impl IntoIterator<Item = &'e NewEvent>) -> Self {
        events.into_iter().fold(Self::default(), |mut sum, event| {
            match event.kind {
                EventType::Message if event.data["usage"].is_object() => {
                    let tokens = |name: &str| event.data["usage"][name].as_i64().unwrap_or(0);
                    sum.input_tokens += tokens("inputTokens");
                    sum.output_tokens += tokens("outputTokens");
                    sum.steps += 1;
                }
                EventType::ToolCall => sum.tool_calls += 1,
                _ => {}
            }
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_steps_and_intents_are_calls() {
        let call = |data| NewEvent { kind: EventType::ToolCall, data };
        let events = [
            NewEvent::message(json!({"role": "user", "content": "x"})),
            NewEvent::message(json!({"role": "assistant", "usage": {"inputTokens": 3, "outputTokens": 2}})),
            call(json!({})),
            call(json!({})),
        ];
        let expected = UsageDelta { input_tokens: 3, output_tokens: 2, steps: 1, tool_calls: 2 };
        assert_eq!(UsageDelta::of(&events), expected);
    }
}
