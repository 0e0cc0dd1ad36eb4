//! The protocols of model servers, as the scripted model speaks them.

use serde_json::{Value, json};

use super::answer::Answer;
use super::history::{Part, Turn};
use super::prefix::Block;
use super::{anthropic, chat, responses};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Chat completions.
    Chat,
    /// OpenAI's Responses API.
    Responses,
    /// Anthropic's Messages API.
    Anthropic,
}

impl Protocol {
    /// The protocol of the request's path.
    pub(super) fn of(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("responses") => Self::Responses,
            Some("messages") => Self::Anthropic,
            _ => Self::Chat,
        }
    }

    /// The conversation in the body of a request.
    pub(super) fn turns(self, body: &Value) -> Vec<Turn> {
        match self {
            Self::Chat => chat::turns(body),
            Self::Responses => responses::turns(body),
            Self::Anthropic => anthropic::turns(body),
        }
    }

    /// What a prompt cache sees of a request: the tools, the instructions and the messages.
    pub(super) fn blocks(self, body: &Value) -> Vec<Block> {
        match self {
            Self::Chat => chat::blocks(body),
            Self::Responses => responses::blocks(body),
            Self::Anthropic => anthropic::blocks(body),
        }
    }

    /// Whether the cache holds only what ends at a breakpoint of an earlier request.
    pub(super) fn has_breakpoints(self) -> bool {
        self == Self::Anthropic
    }

    /// The events of an answer.
    pub(super) fn events(self, answer: &Answer) -> Vec<String> {
        match self {
            Self::Chat => chat::events(answer),
            Self::Responses => responses::events(answer),
            Self::Anthropic => anthropic::events(answer),
        }
    }

    /// The id of a call. Chat completions use an id again in the next answer, as some servers do.
    pub(super) fn call_id(self, answer: usize, index: usize) -> String {
        match self {
            Self::Chat => format!("call_{index}"),
            Self::Responses => format!("call_{answer}_{index}"),
            Self::Anthropic => format!("toolu_{answer}_{index}"),
        }
    }

    /// Reasoning as a later request must hold it. `place` is 0 for the first one of an answer.
    pub(super) fn thought(self, answer: usize, place: usize) -> Value {
        let text = format!("Thought {place} before answer {answer}.");
        match self {
            Self::Chat => json!(text),
            Self::Responses => {
                let sealed = format!("sealed-{answer}-{place}");
                json!({"type": "reasoning", "summary": [], "encrypted_content": sealed})
            }
            Self::Anthropic => {
                json!({"type": "thinking", "thinking": text, "signature": format!("signed-{answer}-{place}")})
            }
        }
    }
}

/// An event with its name.
pub(super) fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A text, or the texts of content parts.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => {
            let texts = list(parts).iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n\n")
        }
    }
}

/// The text of an assistant's message as a part, if it has one.
pub(super) fn said(content: &Value) -> Option<Part> {
    let text = text_of(content);
    (!text.trim().is_empty()).then_some(Part::Text(text))
}

/// The arguments of a call as an object. A text that holds no object stays a text.
pub(super) fn arguments(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| text.clone())
}
