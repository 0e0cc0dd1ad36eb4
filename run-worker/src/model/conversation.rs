//! The conversation that a model is sent, in no provider's own format: pure. All texts are clean.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The app's instructions.
    System(String),
    /// The rendered prompt, or a note from capi.
    User(String),
    Assistant {
        /// May be empty beside calls.
        text: String,
        /// An object with the model server's own fields.
        reasoning: Option<Value>,
        calls: Vec<Call>,
    },
    /// The result of a tool call.
    Tool {
        /// The id of the call.
        call: String,
        content: String,
    },
}

/// A call of a tool, as a model requests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// From the model server. Within a [`Message`] it is unique; within an answer it may be empty or
    /// repeated.
    pub id: String,
    /// A tool, if the app has one of this name.
    pub name: String,
    /// JSON, unless the model made a mistake.
    pub arguments: String,
}

impl Message {
    /// Bytes of everything that the model reads or wrote.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::System(text) | Self::User(text) | Self::Tool { content: text, .. } => text.len(),
            Self::Assistant { text, reasoning, calls } => {
                let reasoning = reasoning.as_ref().map_or(0, |reasoning| reasoning.to_string().len());
                let calls = calls.iter().map(|call| call.name.len() + call.arguments.len());
                text.len() + reasoning + calls.sum::<usize>()
            }
        }
    }
}

/// An estimate for text that no server counted: four bytes a token.
#[must_use]
pub fn estimated_tokens(bytes: usize) -> i64 {
    i64::try_from(bytes.div_ceil(4)).unwrap_or(i64::MAX)
}
