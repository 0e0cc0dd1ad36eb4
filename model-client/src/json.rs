//! Reads the JSON of model servers. Each field is read separately. So a field of an unexpected type does not
//! make the answer unusable.

use serde_json::{Map, Value};

/// Reads one event. Invalid UTF-8 and lone surrogates become U+FFFD.
pub(crate) fn decode(event: &[u8]) -> serde_json::Result<Value> {
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
pub(crate) fn error_message(value: &Value) -> String {
    // Gemini wraps the error into a list.
    let value = value.get(0).unwrap_or(value);
    let message =
        value.pointer("/error/message").or_else(|| value.get("message")).or_else(|| value.get("error"));
    match message.unwrap_or(value) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The members of an error body that say what is wrong. Others may quote what a user or a model wrote.
const TELLING: [&str; 17] = [
    "error",
    "errors",
    "message",
    "msg",
    "code",
    "type",
    "status",
    "reason",
    "param",
    "loc",
    "detail",
    "details",
    "metadata",
    "raw",
    "retryDelay",
    "n_ctx",
    "n_prompt_tokens",
];

/// What an error body says, in lower case: its telling members, or a body that is not JSON.
pub(crate) fn told(body: &str) -> String {
    let mut text = String::new();
    match serde_json::from_str::<Value>(body) {
        Ok(value) => tell(None, &value, &mut text),
        Err(_) => text.push_str(body),
    }
    text.make_ascii_lowercase();
    text
}

fn tell(name: Option<&str>, value: &Value, text: &mut String) {
    match (name, value) {
        // The body of a server behind this one.
        (Some("raw"), Value::String(body)) => text.push_str(&told(body)),
        (Some(name @ ("retryDelay" | "n_ctx" | "n_prompt_tokens")), value) => {
            text.extend(["\"", name, "\":", &value.to_string(), "\n"]);
        }
        (Some("param"), Value::String(param)) => text.extend(["'", param, "'\n"]),
        (_, Value::String(said)) => text.extend([said, "\n"]),
        (_, Value::Array(items)) => items.iter().for_each(|item| tell(name, item, text)),
        (_, Value::Object(members)) => {
            let telling = members.iter().filter(|(name, _)| TELLING.contains(&name.as_str()));
            telling.for_each(|(name, member)| tell(Some(name), member, text));
        }
        _ => {}
    }
}

/// A count. Servers also send floats and strings. A count that is too large saturates.
pub(crate) fn number(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
    let whole = |float: f64| float as i64;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The members of an object that capi does not know.
pub(crate) fn others(value: &Value, known: &[&str]) -> Map<String, Value> {
    let members = value.as_object().into_iter().flatten();
    let others = members.filter(|(name, _)| !known.contains(&name.as_str()));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An object with these members, which are moved. `json!` would copy them: megabytes, if they are pictures.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().collect()
}

/// A string, or the texts of content parts. `None` for anything else.
pub(crate) fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts = parts.iter().filter(|part| part["type"] != "thinking");
            Some(texts.filter_map(|part| part["text"].as_str().or(part.as_str())).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert_eq!(decode(br#"{"content":"x\ud83d"}"#).unwrap(), json!({"content": "x\u{fffd}"}));
    }

    #[test]
    fn an_error_body_tells_only_what_the_server_says() {
        let body = r#"{"error":{"message":"Failed","code":400,"type":"T","param":"max_tokens","n_ctx":4096,
            "failed_generation":"context length is 64",
            "metadata":{"raw":"{\"message\":\"Inner\"}","input":"x"}}}"#;
        assert_eq!(told(body), "failed\ninner\n\"n_ctx\":4096\n'max_tokens'\nt\n");
        assert_eq!(told("<h1>Oh</h1>"), "<h1>oh</h1>");
    }

    #[test]
    fn fields_are_read_whatever_their_type_is() {
        let counts = [json!(3), json!(3.9), json!("3"), json!(1e300), json!(null), json!([])];
        assert_eq!(
            counts.map(|count| number(&count)),
            [Some(3), Some(3), Some(3), Some(i64::MAX), None, None]
        );
        let parts = json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, "b", 7]);
        assert_eq!(content(&parts), Some("ab".to_owned()));
        assert_eq!(content(&json!({})), None);
    }
}
