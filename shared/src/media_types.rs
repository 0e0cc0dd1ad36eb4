//! The media type of a file, from its name and its first bytes. The gateway types uploads with it, the
//! run-worker artifacts.
//!
//! 1. Binary content: what `infer` recognises by magic numbers. The name decides between formats that are ZIP
//!    containers. Other content with a NUL byte is `application/octet-stream`.
//! 2. Text content (UTF-8 without NUL): the extension of the name, then what `infer` recognises among the
//!    formats that are text, else `text/plain`. The name comes first because text may begin like a magic
//!    number: a table that begins with `BMI,weight` begins like a BMP picture.
//!
//! `mime_guess` is not used. It knows a thousand extensions of binary formats, which their content tells
//! better, and it takes program texts for videos (`.ts`).

/// Bytes of a file's beginning that [`of_file`] needs.
pub const SNIFFED_BYTES: usize = 8 << 10;

/// The types of pictures that models are shown.
pub const PICTURES: [&str; 4] = ["image/gif", "image/jpeg", "image/png", "image/webp"];
/// Pictures that a model is shown in one run. Some model servers take no more in one request.
pub const MAX_PICTURES: usize = 20;

const OCTET_STREAM: &str = "application/octet-stream";
/// Formats whose files may be pure ASCII, so that they look like text.
const TEXT_LIKE: [&str; 3] = ["application/pdf", "application/postscript", "application/rtf"];

/// The type of a file with this name and these first bytes.
#[must_use]
pub fn of_file(name: &str, beginning: &[u8]) -> &'static str {
    of_binary(name, beginning).unwrap_or_else(|| of_text(name, beginning))
}

/// The type if the content is not text.
#[must_use]
pub fn of_binary(name: &str, beginning: &[u8]) -> Option<&'static str> {
    let sniffed = infer::get(beginning).map(|format| format.mime_type());
    match sniffed.filter(|sniffed| !sniffed.starts_with("text/")) {
        Some(sniffed) if TEXT_LIKE.contains(&sniffed) => Some(sniffed),
        _ if is_utf8(beginning) => None,
        Some("application/zip") => Some(in_zip(name).unwrap_or("application/zip")),
        Some(sniffed) => Some(sniffed),
        None => beginning.contains(&0).then_some(OCTET_STREAM),
    }
}

/// The type of text with this name; `beginning` may be empty.
#[must_use]
pub fn of_text(name: &str, beginning: &[u8]) -> &'static str {
    match extension(name).as_str() {
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "json" => "application/json",
        "md" => "text/markdown",
        "svg" => "image/svg+xml",
        "xml" => "application/xml",
        _ => {
            let sniffed = infer::get(beginning).map(|format| format.mime_type());
            sniffed.filter(|sniffed| sniffed.starts_with("text/")).unwrap_or("text/plain")
        }
    }
}

fn in_zip(name: &str) -> Option<&'static str> {
    Some(match extension(name).as_str() {
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        _ => return None,
    })
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// The beginning may end within a character.
fn is_utf8(beginning: &[u8]) -> bool {
    let valid = match str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    valid && !beginning.contains(&0)
}

/// Whether a model that sees pictures can be shown a file of this type.
#[must_use]
pub fn is_picture(media_type: &str) -> bool {
    PICTURES.contains(&media_type)
}

/// Whether content of this type can be read as text. Parameters such as `; charset=utf-8` are ignored.
#[must_use]
pub fn is_text(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/xml", "application/javascript"];
    essence.starts_with("text/")
        || known.contains(&essence.as_str())
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_typed_by_its_name_first() {
        for (name, beginning, expected) in [
            ("a.csv", "a,b\n", "text/csv"),
            ("a.csv", "BMI,weight\n", "text/csv"),
            ("BMI", "BMI,weight\n", "text/plain"),
            ("A.JSON", "{}", "application/json"),
            ("a.md", "<p >", "text/markdown"),
            ("a.htm", "", "text/html"),
            ("a.svg", "<?xml version='1.0'?><svg/>", "image/svg+xml"),
            ("a.xml", "<?xml?>", "application/xml"),
            ("a", "<?xml?>", "text/xml"),
            ("a.txt", "<!DOCTYPE html>", "text/html"),
            ("a.py", "import x", "text/plain"),
            ("csv", "", "text/plain"),
        ] {
            assert_eq!(of_file(name, beginning.as_bytes()), expected, "{name} {beginning}");
        }
        let cut_within_a_character = &"BMé".as_bytes()[..3];
        assert_eq!(of_file("a.csv", cut_within_a_character), "text/csv");
        assert_eq!(of_file("cp1252.csv", b"gr\xfc\xdfe"), "text/csv");
    }

    #[test]
    fn binary_files_are_typed_by_their_content() {
        for (name, beginning, expected) in [
            ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), "image/png"),
            ("a.txt", b"%PDF-1.7\n", "application/pdf"),
            ("a.txt", b"a\0b", "application/octet-stream"),
            ("a.zip", b"PK\x03\x04\x14\0\0\0", "application/zip"),
            (
                "a.docx",
                b"PK\x03\x04\x14\0\0\0",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
        ] {
            assert_eq!(of_file(name, beginning), expected, "{name}");
        }
        assert_eq!(of_binary("a.txt", b"text"), None);
    }

    #[test]
    fn pictures_are_found_by_their_content() {
        for (beginning, expected) in [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), true),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", true),
            (b"GIF89a\x01\0\x01\0\x80\0\0", true),
            (b"RIFF\x24\0\0\0WEBPVP8 ", true),
            (b"%PDF-1.7\n", false),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", false),
            (b"a table", false),
        ] {
            assert_eq!(is_picture(of_file("a.png", beginning)), expected, "{}", beginning.escape_ascii());
        }
    }

    #[test]
    fn readable_types() {
        for text in ["text/x", "Text/Plain; charset=x", "application/ld+json", "image/svg+xml"] {
            assert!(is_text(text), "{text}");
        }
        for other in ["image/png", "application/pdf", "application/json-seq", ""] {
            assert!(!is_text(other), "{other}");
        }
    }
}
