//! An answer of a script: a text, and calls.

use serde_json::Value;
use shared::text::CleanText;

use crate::{Answer, Call, MAX_ANSWER_BYTES};

#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) calls: Vec<(&'static str, Value)>,
}

impl Reply {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), calls: Vec::new() }
    }

    /// The same with one more call.
    pub(super) fn call(mut self, tool: &'static str, arguments: Value) -> Self {
        self.calls.push((tool, arguments));
        self
    }

    /// The end of a script whose tool did not do what the script needs.
    pub(super) fn stuck(why: &str) -> Self {
        Self::text(format!(
            "I am capi's demo model: a script that cannot go on here. {why} A language model might find \
             another way."
        ))
    }

    /// `before`: the calls that the conversation already has. Ids are unique in it.
    pub(super) fn into_answer(self, before: usize) -> Answer {
        let calls = self.calls.into_iter().enumerate().map(|(at, (name, arguments))| Call {
            id: format!("demo-{}", before + at + 1),
            name: name.to_owned(),
            arguments: arguments.to_string(),
            extra: None,
        });
        let calls: Vec<_> = calls.collect();
        Answer {
            text: CleanText::new(&self.text, MAX_ANSWER_BYTES),
            reasoning: None,
            finish_reason: if calls.is_empty() { "stop" } else { "tool_calls" }.to_owned(),
            calls,
            // The worker estimates what a language model would have used.
            usage: None,
        }
    }
}
