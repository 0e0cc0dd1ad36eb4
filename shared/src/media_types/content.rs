//! What the first bytes of a file say about its type.

use super::OCTET_STREAM;

/// What a file holds, and the type that its bytes show.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(Option<&'static str>),
    Binary(Option<&'static str>),
}

/// Formats whose files may be pure ASCII, so that they look like text.
const TEXT_LIKE: [&str; 3] = ["application/pdf", "application/postscript", "application/rtf"];

pub(super) fn of(beginning: &[u8]) -> Content {
    let sniffed = infer::get(beginning).map(|format| format.mime_type());
    let is_of_text = |sniffed: &&str| sniffed.starts_with("text/");
    match sniffed {
        Some(sniffed) if TEXT_LIKE.contains(&sniffed) => Content::Binary(Some(sniffed)),
        // Text may begin like a magic number: a table that begins with `BMI,weight` begins like a BMP file.
        _ if is_text(beginning) => Content::Text(sniffed.filter(is_of_text)),
        Some("application/zip") => Content::Binary(in_zip(beginning).or(sniffed)),
        _ => Content::Binary(sniffed.filter(|sniffed| !is_of_text(sniffed) && *sniffed != OCTET_STREAM)),
    }
}

/// Whether the bytes begin a text: UTF-8 without NUL, UTF-16 with its mark, or an encoding with one or two
/// bytes for each character. The beginning may end within a character.
fn is_text(beginning: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    match beginning {
        [0xFF, 0xFE, rest @ ..] => is_utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => is_utf16(rest, u16::from_be_bytes),
        _ if is_utf8 => !beginning.contains(&0),
        // All binary formats have numbers or lengths near their beginning, and so control characters.
        _ => !beginning.iter().copied().any(is_control),
    }
}

fn is_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> bool {
    let (pairs, _) = bytes.as_chunks::<2>();
    let read: Vec<_> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    // The last unit may be the half of a character.
    let whole = read.len() - usize::from(read.last().is_some_and(Result::is_err));
    let is_of_text = |char: char| !u8::try_from(char).is_ok_and(is_control);
    read[..whole].iter().all(|read| read.as_ref().is_ok_and(|char| is_of_text(*char)))
}

/// Whether a byte is a control character that no text has. Escape begins colours in logs, and shifts in
/// ISO-2022-JP.
const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F)
}

/// The signature of a file in a ZIP archive, and where its name begins.
const ZIP_ENTRY: &[u8] = b"PK\x03\x04";
const ZIP_NAME: usize = 30;
/// The folders in the archives of Office formats. Programs write the files in different orders.
const OFFICE: [(&[u8], &str); 3] = [
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
];

/// The Office format of a ZIP archive.
fn in_zip(beginning: &[u8]) -> Option<&'static str> {
    let entries = beginning.windows(ZIP_ENTRY.len()).enumerate().filter(|(_, bytes)| *bytes == ZIP_ENTRY);
    let mut names = entries.filter_map(|(at, _)| beginning.get(at + ZIP_NAME..));
    names.find_map(|name| {
        OFFICE.iter().find(|(folder, _)| name.starts_with(folder)).map(|(_, media_type)| *media_type)
    })
}
