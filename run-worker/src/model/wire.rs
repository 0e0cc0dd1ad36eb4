//! What an OpenAI-compatible server sends. Compatible servers send `finish_reason: ""`, `usage: {}` or none, and
//! empty `choices`; all of that is taken.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    /// An error in mid-stream, in whatever shape.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
    /// What a model says instead of an answer.
    #[serde(default)]
    pub(super) refusal: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) prompt_tokens: Option<i64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<i64>,
}

/// The words of an error body, however it is shaped.
pub(super) fn error_words(value: &Value) -> String {
    let message =
        value.pointer("/error/message").or_else(|| value.get("message")).or_else(|| value.get("error"));
    match message.unwrap_or(value) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
