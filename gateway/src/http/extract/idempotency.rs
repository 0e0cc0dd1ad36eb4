//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): visible ASCII, bare or as a quoted string.

use actix_web::HttpRequest;
use gateway_domain::FieldError;

use crate::http::ApiError;

const HEADER: &str = "idempotency-key";
const MAX_CHARS: usize = 255;

/// The key of the request, if it has one.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all(HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    let one = values.next().is_none();
    let key = value.to_str().ok().filter(|_| one).and_then(parse);
    key.map(Some).ok_or_else(|| {
        let message = format!(
            "Idempotency-Key must be given once, with 1 to {MAX_CHARS} visible ASCII characters and no \
             spaces, bare or in quotes"
        );
        ApiError::invalid(FieldError::header("Idempotency-Key", "invalid", message))
    })
}

fn parse(text: &str) -> Option<String> {
    let text = text.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unescape(rest.strip_suffix('"')?)?,
        None => text.to_owned(),
    };
    let fits = (1..=MAX_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(key)
}

/// Inside quotes a backslash escapes a quote or a backslash (RFC 9651).
fn unescape(quoted: &str) -> Option<String> {
    let (mut key, mut chars) = (String::with_capacity(quoted.len()), quoted.chars());
    while let Some(char) = chars.next() {
        key.push(match char {
            '\\' => chars.next().filter(|escaped| ['"', '\\'].contains(escaped))?,
            '"' => return None,
            char => char,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_and_quoted_keys_are_the_same() {
        let long = "k".repeat(MAX_CHARS);
        for (text, key) in [
            ("order-1", Some("order-1")),
            (" \"order-1\" ", Some("order-1")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (&long, Some(long.as_str())),
            (&format!("{long}k"), None),
            ("", None),
            ("\"\"", None),
            ("two words", None),
            ("\"open", None),
            (r#""a"b""#, None),
            (r#""a\b""#, None),
            (r#""a\""#, None),
            ("é", None),
        ] {
            assert_eq!(parse(text).as_deref(), key, "{text}");
        }
    }
}
