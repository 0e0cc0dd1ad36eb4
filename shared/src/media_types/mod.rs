//! The media type of a file. The gateway types uploads with it, the run-worker artifacts.
//!
//! 1. A type that is given wins. A caller's program often sends a wrong one with an upload. So an upload
//!    keeps it only if the content allows it, and if neither name nor content say more.
//! 2. Then the name decides, as far as the content allows it: text never gets the type of a picture, and a
//!    picture never the type of a text.
//! 3. Then the content decides: what `infer` recognises by magic numbers. Office formats are ZIP archives, so
//!    the names of the files in them are read too.
//!
//! `mime_guess` is not used. It knows a thousand extensions of binary formats, which their content tells
//! better, and it takes program texts for videos (`.ts`).

mod content;
mod names;

use content::Content;

/// Bytes of a file's beginning that [`of_file`] needs.
pub const SNIFFED_BYTES: usize = 8 << 10;

/// The types of pictures that models are shown.
pub const PICTURES: [&str; 4] = ["image/gif", "image/jpeg", "image/png", "image/webp"];
/// Pictures that a model is shown in one run. Some model servers take no more in one request.
pub const MAX_PICTURES: usize = 20;

const OCTET_STREAM: &str = "application/octet-stream";
/// Types that say nothing about a file.
const VAGUE: [&str; 5] =
    [OCTET_STREAM, "binary/octet-stream", "text/plain", "application/zip", "application/x-zip-compressed"];

/// The type of a file with this name and these first bytes.
#[must_use]
pub fn of_file(name: &str, beginning: &[u8]) -> &'static str {
    match content::of(beginning) {
        Content::Text(sniffed) => names::of_text(name).or(sniffed).unwrap_or("text/plain"),
        Content::Binary(sniffed) => names::of_binary(name, sniffed).or(sniffed).unwrap_or(OCTET_STREAM),
    }
}

/// The type of a file that was sent with this type.
#[must_use]
pub fn of_upload(given: Option<&str>, name: &str, beginning: &[u8]) -> String {
    let detected = of_file(name, beginning);
    let given = given.map(|given| essence(given).to_ascii_lowercase());
    let given = given.filter(|given| is_media_type(given) && !VAGUE.contains(&given.as_str()));
    let fits = |given: &String| match content::of(beginning) {
        Content::Text(_) => is_text(given),
        Content::Binary(_) => !is_text(given) && !given.starts_with("image/"),
    };
    match given.filter(|given| VAGUE.contains(&detected) && fits(given)) {
        Some(given) => given,
        None => detected.to_owned(),
    }
}

/// The type that the content alone shows, if it shows one.
#[must_use]
pub fn of_content(beginning: &[u8]) -> Option<&'static str> {
    match content::of(beginning) {
        Content::Text(sniffed) | Content::Binary(sniffed) => sniffed,
    }
}

/// Whether the bytes begin a text, in any encoding.
#[must_use]
pub fn begins_text(beginning: &[u8]) -> bool {
    matches!(content::of(beginning), Content::Text(_))
}

/// Whether the ending of the name tells a type.
#[must_use]
pub fn is_known_name(name: &str) -> bool {
    names::of_text(name).is_some() || names::of_binary(name, None).is_some()
}

/// Whether a model that sees pictures can be shown a file of this type.
#[must_use]
pub fn is_picture(media_type: &str) -> bool {
    PICTURES.contains(&media_type)
}

/// Types of text whose names do not say so.
const TEXTS: [&str; 7] = [
    "application/javascript",
    "application/json",
    "application/sql",
    "application/toml",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
];

/// Whether content of this type can be read as text. Parameters such as `; charset=utf-8` are ignored.
#[must_use]
pub fn is_text(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.starts_with("text/")
        || TEXTS.contains(&essence.as_str())
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || essence.ends_with("+yaml")
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// The longest type that capi stores.
pub const MAX_TYPE_BYTES: usize = 255;

/// Whether the text is `type/subtype`, perhaps with parameters (RFC 9110, 8.3.1), in printable ASCII. It
/// becomes the value of a header.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let whole = kind
        .trim_end_matches(' ')
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    whole
        && text.len() <= MAX_TYPE_BYTES
        && parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
