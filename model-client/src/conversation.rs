//! The conversation that capi sends to a model, independent of any protocol. Pure. All texts are clean
//! (`shared::text`).

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The app's instructions.
    System(String),
    /// The rendered prompt, or a note from capi.
    User { text: String, pictures: Vec<Picture> },
    Assistant {
        /// May be empty if there are calls.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// From the model server. Within a [`Message`] it is unique; within an answer it may be empty or
    /// repeated.
    pub id: String,
    /// A tool, if the app has one of this name.
    pub name: String,
    /// JSON, unless the model made a mistake.
    pub arguments: String,
    /// Fields of the call that capi does not know. Some servers want them back.
    pub extra: Option<Map<String, Value>>,
}

/// A picture that the model sees.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    pub media_type: String,
    pub base64: Arc<str>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {} bytes)", self.media_type, self.base64.len())
    }
}

/// The estimated tokens of a picture of the largest size that capi sends.
const PICTURE_TOKENS: usize = 1600;
/// The estimated bytes of a token, for text that no server counted.
const BYTES_PER_TOKEN: usize = 4;

impl Message {
    #[must_use]
    pub const fn user(text: String) -> Self {
        Self::User { text, pictures: Vec::new() }
    }

    /// Bytes of all that the model reads or wrote. A picture counts like a text with as many tokens.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes_sent(true)
    }

    /// The same without reasoning, if it is not sent back.
    #[must_use]
    pub fn bytes_sent(&self, returns_reasoning: bool) -> usize {
        match self {
            Self::System(text) | Self::Tool { content: text, .. } => text.len(),
            Self::User { text, pictures } => text.len() + pictures.len() * PICTURE_TOKENS * BYTES_PER_TOKEN,
            Self::Assistant { text, reasoning, calls } => {
                let reasoning = reasoning.as_ref().filter(|_| returns_reasoning);
                let reasoning = reasoning.map_or(0, |reasoning| reasoning.to_string().len());
                let calls = calls.iter().map(Call::bytes);
                text.len() + reasoning + calls.sum::<usize>()
            }
        }
    }
}

impl Call {
    fn bytes(&self) -> usize {
        let extra = self
            .extra
            .as_ref()
            .map_or(0, |extra| extra.iter().map(|(name, value)| name.len() + value.to_string().len()).sum());
        self.name.len() + self.arguments.len() + extra
    }
}

/// An estimate for text that no server counted: four bytes a token.
#[must_use]
pub fn estimated_tokens(bytes: usize) -> i64 {
    i64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(i64::MAX)
}
