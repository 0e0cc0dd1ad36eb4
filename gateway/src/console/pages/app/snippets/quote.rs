//! Texts and values as they are written in the languages of the examples. Pure.

use std::fmt::Write;

use serde_json::Value;

/// The words of a language that JSON spells differently.
struct Words {
    yes: &'static str,
    no: &'static str,
    nothing: &'static str,
}

/// As JSON, which is also a literal of JavaScript.
pub(super) fn json(value: &Value) -> String {
    literal(value, &Words { yes: "true", no: "false", nothing: "null" })
}

/// As JSON without `$`: GitHub replaces `${{ … }}` and GitLab `$NAME`, wherever they stand.
pub(super) fn json_for_ci(value: &Value) -> String {
    json(value).replace('$', r"\u0024")
}

/// As a literal of Python.
pub(super) fn python(value: &Value) -> String {
    literal(value, &Words { yes: "True", no: "False", nothing: "None" })
}

/// The text in single quotes, for a shell.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The text in single quotes, for YAML. The text has no line breaks.
pub(super) fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Recurses as deep as the value is nested: at most 64 levels (`shared::text::check_json`).
fn literal(value: &Value, words: &Words) -> String {
    match value {
        Value::Null => words.nothing.to_owned(),
        Value::Bool(true) => words.yes.to_owned(),
        Value::Bool(false) => words.no.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| literal(item, words)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let pair =
                |(name, value): (&String, &Value)| format!("{}: {}", string(name), literal(value, words));
            let members: Vec<_> = members.iter().map(pair).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// A JSON string. It is also a string of Python and JavaScript, because it escapes no character by two
/// surrogates.
fn string(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if needs_escape(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character ends a line in some language, is not allowed in YAML, or makes the code look different
/// from what it does. JSON escapes those below U+0020 by itself.
const fn needs_escape(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
