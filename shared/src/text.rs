//! Text from outside (models, receivers, inputs, names) becomes [`CleanText`] before it is stored or used.
//! PostgreSQL rejects NUL in text and jsonb, and capi would retry such a write for ever.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The deepest JSON that capi accepts or stores.
pub const MAX_JSON_DEPTH: usize = 64;

/// Text without NUL whose length is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CleanText(String);

impl CleanText {
    /// Replaces each NUL by U+FFFD and cuts at `max_bytes`, never inside a character.
    #[must_use]
    pub fn new(raw: &str, max_bytes: usize) -> Self {
        let cut = &raw[..raw.floor_char_boundary(max_bytes)];
        let clean = if cut.contains('\0') { cut.replace('\0', "\u{fffd}") } else { cut.to_owned() };
        Self(clean[..clean.floor_char_boundary(max_bytes)].to_owned())
    }

    /// Also replaces invalid UTF-8 by U+FFFD.
    #[must_use]
    pub fn from_bytes(raw: &[u8], max_bytes: usize) -> Self {
        Self::new(&String::from_utf8_lossy(raw), max_bytes)
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for CleanText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CleanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CleanText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Why a JSON value is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonRefusal {
    #[error("a string holds the character U+0000; leave it out")]
    Nul,
    #[error("nested deeper than {MAX_JSON_DEPTH} levels; flatten it")]
    TooDeep,
}

/// Checks that PostgreSQL can store `value` as jsonb.
pub fn check_json(value: &Value) -> Result<(), JsonRefusal> {
    check_json_at(value, 1)
}

fn check_json_at(value: &Value, depth: usize) -> Result<(), JsonRefusal> {
    if depth > MAX_JSON_DEPTH {
        return Err(JsonRefusal::TooDeep);
    }
    let clean = |text: &str| {
        if text.contains('\0') { Err(JsonRefusal::Nul) } else { Ok(()) }
    };
    match value {
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter().try_for_each(|item| check_json_at(item, depth + 1)),
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            clean(key)?;
            check_json_at(member, depth + 1)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_text_has_no_nul_and_ends_on_a_character() {
        assert_eq!(&*CleanText::new("a\0b", 10), "a\u{fffd}b");
        assert_eq!(&*CleanText::new("aé", 2), "a");
        assert_eq!(&*CleanText::new("\0\0", 4), "\u{fffd}");
        assert_eq!(&*CleanText::from_bytes(b"a\xffb", 10), "a\u{fffd}b");
    }

    #[test]
    fn json_is_refused_for_nul_and_depth() {
        assert_eq!(check_json(&serde_json::json!({"a": ["b", 1, null]})), Ok(()));
        assert_eq!(check_json(&serde_json::json!({"a\0": 1})), Err(JsonRefusal::Nul));
        assert_eq!(check_json(&serde_json::json!(["\0"])), Err(JsonRefusal::Nul));
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert_eq!(check_json(&nested(MAX_JSON_DEPTH - 1)), Ok(()));
        assert_eq!(check_json(&nested(MAX_JSON_DEPTH)), Err(JsonRefusal::TooDeep));
    }
}
