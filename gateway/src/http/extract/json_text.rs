//! Bytes of a client as JSON: what is wrong with them, in words that follow "the body" or "the part …". Pure.

use gateway_domain::json_value;
use serde_json::Value;
use shared::text::{JsonRefusal, MAX_JSON_DEPTH, check_json};

/// The value, and the bytes of memory that it takes, about.
pub fn read_json(bytes: &[u8]) -> Result<(Value, usize), String> {
    let text = utf8(bytes)?;
    if text.trim_ascii().is_empty() {
        return Err("is empty; send JSON like {\"inputs\": {}}".to_owned());
    }
    let (value, memory) = json_value(text).map_err(|error| wrong_json(&error))?;
    check_json(&value).map_err(|refusal: JsonRefusal| format!("cannot be taken: {refusal}"))?;
    Ok((value, memory))
}

fn wrong_json(error: &serde_json::Error) -> String {
    let said = error.to_string();
    if error.is_data() {
        format!("cannot be taken: {said}")
    } else if said.contains("recursion limit") {
        format!("is not valid JSON for capi: nested deeper than {MAX_JSON_DEPTH} levels; flatten it")
    } else if error.is_eof() {
        let (line, column) = (error.line(), error.column());
        format!("is not valid JSON: it ends at line {line} column {column}, before it is complete")
    } else {
        format!("is not valid JSON: {said}")
    }
}

/// The bytes as UTF-8, without a byte order mark.
pub fn utf8(bytes: &[u8]) -> Result<&[u8], String> {
    if let Some(encoding) = wide_encoding(bytes) {
        return Err(format!("is {encoding}; send it as UTF-8"));
    }
    match str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            Err(format!(
                "is not UTF-8: the byte 0x{byte:02X} at offset {at} is wrong; if it is Latin-1 or \
                 Windows-1252, convert it to UTF-8"
            ))
        }
    }
}

/// The encoding with two or four bytes a character that the text has, by its byte order mark or, because JSON
/// begins with two ASCII characters, by its zeros.
fn wide_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..]
        | [0, 0, 0xfe, 0xff, ..]
        | [1..=0xff, 0, 0, 0, ..]
        | [0, 0, 0, 1..=0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..]
        | [0xfe, 0xff, ..]
        | [1..=0xff, 0, 1..=0xff, 0, ..]
        | [0, 1..=0xff, 0, 1..=0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_words() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let with = |mark: &[u8], text: &[u8]| [mark, text].concat();
        for (bytes, said) in [
            (b"".to_vec(), "is empty"),
            (b" \r\n".to_vec(), "is empty"),
            (b"\xef\xbb\xbf".to_vec(), "is empty"),
            (b"{\"a\":\"gr\xfc\xdfe\"}".to_vec(), "byte 0xFC at offset 8"),
            (wide("{\"a\": 1}"), "is UTF-16; send it as UTF-8"),
            (with(b"\xff\xfe", &wide("{\"a\": 1}")), "is UTF-16"),
            (b"\xfe\xff\0{\0}".to_vec(), "is UTF-16"),
            (b"\0{\0}".to_vec(), "is UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0}\0\0\0".to_vec(), "is UTF-32"),
            (b"{\0\0\0}\0\0\0".to_vec(), "is UTF-32"),
            (b"{\"a\": ".to_vec(), "it ends at line 1 column 6"),
            (b"{a: 1}".to_vec(), "is not valid JSON: key must be a string"),
            (b"{\"a\":\"\0\"}".to_vec(), "is not valid JSON"),
            ("[".repeat(1000).into_bytes(), "deeper than 64 levels"),
            (b"{\"a\":\"\\u0000\"}".to_vec(), "U+0000"),
        ] {
            let refused = read_json(&bytes).unwrap_err();
            assert!(refused.contains(said), "{said}: {refused}");
        }
        assert_eq!(read_json(b"\xef\xbb\xbf{\"a\": 1}").unwrap().0["a"], 1, "a byte order mark is no text");
    }
}
