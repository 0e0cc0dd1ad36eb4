//! What an OpenAI-compatible server sends. Compatible servers send `finish_reason: ""`, `usage: {}` or none, empty
//! `choices`, content in parts, tool calls without index, and text cut in the middle of a surrogate pair; all of that is taken.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<Option<Choice>>>,
    /// An object of numbers, or nothing.
    #[serde(default)]
    pub(super) usage: Value,
    /// An error in mid-stream, in whatever shape …
    #[serde(default)]
    error: Value,
    /// … or the whole event, where this is `error`.
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    code: Value,
}

impl Chunk {
    /// What the server says went wrong.
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

    /// A count of `usage`.
    pub(super) fn tokens(&self, name: &str) -> Option<i64> {
        let count = &self.usage[name];
        #[expect(clippy::cast_possible_truncation, reason = "a count; `as` saturates")]
        count.as_i64().or_else(|| count.as_f64().map(|count| count as i64))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    /// `message` where the server does not stream.
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
    /// What a model says instead of an answer.
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

/// One event of a stream. Bytes that are no UTF-8, and halves of surrogate pairs, become U+FFFD.
pub(super) fn decode(event: &[u8]) -> serde_json::Result<Chunk> {
    let text = String::from_utf8_lossy(event);
    serde_json::from_str(&text).or_else(|error| match without_lone_surrogates(&text) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// The JSON text with each `\uD800`–`\uDFFF` that is no pair replaced; `None` where there is none.
fn without_lone_surrogates(json: &str) -> Option<String> {
    let unit = |at: usize| {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let (mut mended, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(&json[kept..at]);
                mended.push_str("\\ufffd");
                kept = at + 6;
                6
            }
            Some(_) => 6,
            // An escape of two characters; the second may be of more than one byte where the JSON is broken anyway.
            None => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    mended.push_str(&json[kept..]);
    (kept > 0).then_some(mended)
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

/// A string, or what parts with a `text` say.
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
    fn halves_of_surrogate_pairs_are_replaced_and_pairs_kept() {
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
