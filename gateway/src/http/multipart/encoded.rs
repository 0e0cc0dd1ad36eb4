//! Names that a client encoded, because headers were ASCII once: RFC 8187 (`utf-8''Ums%C3%A4tze.csv`), RFC
//! 2047 (`=?utf-8?B?…?=`), and percent-encoding (RFC 7578, 4.2). Pure.

use base64::prelude::{BASE64_STANDARD, Engine};
use encoding_rs::Encoding;

/// The text of an extended value, `CHARSET'LANGUAGE'TEXT`.
pub(super) fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    decoded(charset, &percent_decoded(text)?)
}

/// A name as a client wrote it into a plain parameter. A name that only looks encoded stays as it is.
pub(super) fn plain(name: &str) -> String {
    if let Some(text) = encoded_words(name) {
        return text;
    }
    // Browsers encode these three characters. Other escapes are meant as such only if they spell a text that
    // is not ASCII.
    let spelled = percent_decoded(name).and_then(|bytes| String::from_utf8(bytes).ok());
    match spelled.filter(|text| name.is_ascii() && !text.is_ascii()) {
        Some(text) => text,
        None => name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"),
    }
}

/// The text of RFC 2047 words, if the name consists of them.
fn encoded_words(name: &str) -> Option<String> {
    // Adjacent words are one text: a character may be split between two.
    let (mut text, mut bytes, mut charset) = (String::new(), Vec::new(), "");
    for word in name.split_ascii_whitespace() {
        let parts: Vec<_> = word.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?').collect();
        let [of_word, encoding, encoded] = parts[..] else { return None };
        // RFC 2231: a language may follow.
        let of_word = of_word.split('*').next().unwrap_or_default();
        if !of_word.eq_ignore_ascii_case(charset) {
            text += &decoded(charset, &bytes)?;
            (bytes, charset) = (Vec::new(), of_word);
        }
        bytes.extend(match encoding {
            "B" | "b" => BASE64_STANDARD.decode(encoded).ok()?,
            "Q" | "q" => escaped(&encoded.replace('_', " "), b'=')?,
            _ => return None,
        });
    }
    text += &decoded(charset, &bytes)?;
    Some(text).filter(|text| !text.is_empty())
}

fn decoded(charset: &str, bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some(String::new());
    }
    let encoding = Encoding::for_label(charset.as_bytes())?;
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    escaped(text, b'%')
}

/// The bytes of a text in which `mark` and two hexadecimal digits stand for one byte.
fn escaped(text: &str, mark: u8) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == mark {
            let digits = str::from_utf8(tail.get(..2)?).ok().filter(|digits| !digits.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_names_are_read() {
        for (given, name) in [
            ("=?utf-8?B?VW1zw6R0emUuY3N2?=", "Umsätze.csv"),
            ("=?UTF-8?Q?Ums=C3=A4tze_2.csv?=", "Umsätze 2.csv"),
            ("=?iso-8859-1?q?Ums=E4tze.csv?=", "Umsätze.csv"),
            ("=?utf-8*de?B?VW1zw6R0?= =?utf-8?B?emUuY3N2?=", "Umsätze.csv"),
            ("=?utf-8?B?VW1zww==?= =?utf-8?B?pHR6ZS5jc3Y=?=", "Umsätze.csv"),
            ("Ums%C3%A4tze.csv", "Umsätze.csv"),
            ("a%22b.csv", "a\"b.csv"),
            ("50%20off.csv", "50%20off.csv"),
            ("100%.csv", "100%.csv"),
            ("=?utf-8?B?!!!?=", "=?utf-8?B?!!!?="),
            ("=?klingon?B?YQ==?=", "=?klingon?B?YQ==?="),
            ("=?x", "=?x"),
            ("data.csv", "data.csv"),
            ("Umsätze%20.csv", "Umsätze%20.csv"),
            ("", ""),
        ] {
            assert_eq!(plain(given), name, "{given}");
        }
        for (given, name) in [
            ("utf-8''Ums%C3%A4tze.csv", Some("Umsätze.csv")),
            ("UTF-8'de'%e2%82%ac.csv", Some("€.csv")),
            ("iso-8859-1''Ums%E4tze.csv", Some("Umsätze.csv")),
            ("utf-8''Ums%E4tze.csv", None),
            ("utf-8''%", None),
            ("utf-8''%+1", None),
            ("klingon''a", None),
            ("Umsätze.csv", None),
        ] {
            assert_eq!(extended(given).as_deref(), name, "{given}");
        }
    }
}
