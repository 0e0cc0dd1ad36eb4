//! The chunks of an OpenAI-compatible server. Such servers also send `finish_reason: ""`, an empty or missing
//! `usage`, empty `choices`, content in parts, tool calls without index, and text cut inside a surrogate
//! pair. All of that is accepted.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<Option<Choice>>>,
    /// An object of numbers, or null.
    #[serde(default)]
    pub(super) usage: Value,
    /// An error within the stream, in any shape …
    #[serde(default)]
    error: Value,
    /// … or the whole event, if this is `error`.
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    code: Value,
}

impl Chunk {
    /// The error that the server reports.
    pub(super) fn failure(&self) -> Option<Value> {
        if self.object.as_deref() == Some("error") {
            return Some(json!({"message": self.message, "code": self.code}));
        }
        let nothing = match &self.error {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        (!nothing).then(|| self.error.clone())
    }

    /// One of the counts in `usage`.
    pub(super) fn tokens(&self, name: &str) -> Option<i64> {
        let count = &self.usage[name];
        #[expect(clippy::cast_possible_truncation, reason = "a count; `as` saturates")]
        count.as_i64().or_else(|| count.as_f64().map(|count| count as i64))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    /// `message` if the server does not stream.
    #[serde(default, alias = "message")]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    /// A string, or parts with a `text` each.
    #[serde(default)]
    pub(super) content: Option<Value>,
    /// The text of a model that refuses to answer.
    #[serde(default)]
    pub(super) refusal: Option<String>,
    /// Reasoning as text (DeepSeek, vLLM) …
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    /// … under another name (OpenRouter, vLLM) …
    #[serde(default)]
    pub(super) reasoning: Option<Value>,
    /// … and as blocks that may be signed (OpenRouter).
    #[serde(default)]
    pub(super) reasoning_details: Option<Vec<Value>>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<Option<CallDelta>>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CallDelta {
    #[serde(default)]
    pub(super) index: Option<i64>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    #[serde(default)]
    pub(super) name: Option<String>,
    /// JSON in a string; some servers send the object itself.
    #[serde(default)]
    pub(super) arguments: Option<Value>,
}

/// Reads one event. Invalid UTF-8 and lone surrogates become U+FFFD.
pub(super) fn decode(event: &[u8]) -> serde_json::Result<Chunk> {
    let text = String::from_utf8_lossy(event);
    serde_json::from_str(&text).or_else(|error| match without_lone_surrogates(&text) {
        Some(repaired) => serde_json::from_str(&repaired),
        None => Err(error),
    })
}

/// Replaces each lone surrogate (`\uD800`–`\uDFFF`) in the JSON text. `None` if it has none.
fn without_lone_surrogates(json: &str) -> Option<String> {
    let unit = |at: usize| {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let (mut repaired, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                repaired.push_str(&json[kept..at]);
                repaired.push_str("\\ufffd");
                kept = at + 6;
                6
            }
            Some(_) => 6,
            // An escape of two characters. In invalid JSON the second may have more than one byte.
            None => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    repaired.push_str(&json[kept..]);
    (kept > 0).then_some(repaired)
}

/// The message in an error body of any shape.
pub(super) fn error_message(value: &Value) -> String {
    let message =
        value.pointer("/error/message").or_else(|| value.get("message")).or_else(|| value.get("error"));
    match message.unwrap_or(value) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A string, or the texts of parts.
pub(super) fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        let cases = [
            (r#""a\ud83d""#, Some(r#""a\ufffd""#)),
            (r#""\ude00b""#, Some(r#""\ufffdb""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d\"""#, Some(r#""\\\ufffd\"""#)),
            (r#""\u00e9 \n é \é""#, None),
            (r#""\u12"#, None),
            (r#""\"#, None),
        ];
        for (json, expected) in cases {
            assert_eq!(without_lone_surrogates(json).as_deref(), expected, "{json}");
        }
        let chunk = decode(br#"{"choices":[{"delta":{"content":"x\ud83d"}}]}"#).unwrap();
        let delta = chunk.choices.unwrap().remove(0).unwrap().delta.unwrap();
        assert_eq!(delta.content.unwrap(), "x\u{fffd}");
    }
}
