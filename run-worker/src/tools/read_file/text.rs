//! Text in any encoding, and the heads of large tables.

use std::fs::File;
use std::io::{self, Read, Seek};

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE};

use super::lines::{Lines, MAX_SHOWN_BYTES};
use super::{Arguments, Kind, Opened, not_text, too_large};
use crate::documents::csv;
use crate::documents::encoding::{Found, decode, decode_pieces, detect};
use crate::tools::ToolError;
use crate::tools::files::message_of;

/// For larger files a model writes a program.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Larger tables are shown line by line: for its head, a table is in memory.
const MAX_TABLE_BYTES: u64 = 16 << 20;
const TABLES: [&str; 2] = ["text/csv", "text/tab-separated-values"];

pub(super) fn read(opened: Opened, arguments: &Arguments) -> Result<String, ToolError> {
    let Opened { file, size, media_type, kind } = opened;
    let path = &arguments.path;
    if size > MAX_FILE_BYTES {
        return Err(too_large(path, size, MAX_FILE_BYTES));
    }
    let found = detect_again(&file, size).map_err(|error| message_of(path, &error))?;
    let is_utf16 = |found: &Found| [UTF_16LE, UTF_16BE].contains(&found.encoding);
    let found = found.filter(|found| matches!(kind, Kind::Text) || is_utf16(found));
    let Some(found) = found else { return Err(not_text(path, media_type, size)) };
    let is_large_table = TABLES.contains(&media_type) && size > MAX_SHOWN_BYTES as u64;
    let shown = if is_large_table && size <= MAX_TABLE_BYTES && arguments.is_whole() {
        head(&file, size, found)
    } else {
        Ok(None)
    };
    let shown = match shown {
        Ok(None) => lines(&file, size, found, arguments).map(Some),
        shown => shown,
    };
    shown.map(Option::unwrap_or_default).map_err(|error| message_of(path, &error))
}

/// Finds the encoding and goes back to the beginning. The file may grow meanwhile, so `size` bytes are read.
fn detect_again(mut file: &File, size: u64) -> io::Result<Option<Found>> {
    let found = detect(file.take(size))?;
    file.rewind()?;
    Ok(found)
}

/// The head of a table, if it is one.
fn head(mut file: &File, size: u64, found: Found) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    file.rewind()?;
    let text = decode(&bytes, Some(found.encoding)).text;
    drop(bytes);
    let how = "this is the head of a large table; from_line and lines show its lines";
    Ok(csv::head(&text).map(|head| {
        let notes: Vec<_> = std::iter::once(how.to_owned()).chain(notes(found)).collect();
        format!("{}\n[{}]", head.replace('\0', "\u{fffd}"), notes.join("; "))
    }))
}

fn lines(file: &File, size: u64, found: Found, arguments: &Arguments) -> io::Result<String> {
    let mut lines = Lines::new(arguments.wanted());
    decode_pieces(file.take(size), found.encoding, |piece| lines.add(piece))?;
    Ok(lines.finish(&notes(found)))
}

/// What the model must know to write the file again.
fn notes(found: Found) -> Vec<String> {
    let Found { encoding, has_mark, damaged } = found;
    let mut notes = Vec::new();
    if encoding != UTF_8 {
        let how = if has_mark { "" } else { ", as it seems" };
        notes.push(format!("the file is not UTF-8 but {}{how}; programs must name it", encoding.name()));
    }
    if damaged > 0 {
        notes.push(format!("{damaged} place(s) of the file are not UTF-8, shown as \u{fffd} if at all"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn shown(bytes: &[u8], media_type: &'static str) -> Result<String, ToolError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let opened = Opened { file, size: bytes.len() as u64, media_type, kind: Kind::Text };
        let arguments = Arguments { path: "a.csv".to_owned(), from_line: None, lines: None, offset: None };
        read(opened, &arguments)
    }

    #[test]
    fn the_encoding_is_named() {
        let german = "Straße;Größe;Käufer\nMüllerstraße;schön;Änderung\n";
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(german);
        let text = shown(&bytes, "text/csv").unwrap();
        assert!(text.starts_with(german) && text.contains("windows-1252, as it seems"), "{text}");
        assert_eq!(shown(german.as_bytes(), "text/csv").unwrap(), german, "nothing to say of UTF-8");
        let marked: Vec<u8> = format!("\u{feff}{german}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let text = shown(&marked, "text/csv").unwrap();
        assert!(text.starts_with(german) && text.contains("but UTF-16LE; programs"), "{text}");
        let damaged = [german.as_bytes(), b"\xff\n", german.as_bytes()].concat();
        let text = shown(&damaged, "text/plain").unwrap();
        assert!(text.contains('\u{fffd}') && text.contains("1 place(s)"), "{text}");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let Err(ToolError::RespondToModel(why)) = shown(b"PK\x03\x04\0\0", "application/zip") else {
            panic!("it is no text")
        };
        assert!(why.contains("is no text (application/zip, 6 bytes)"), "{why}");
    }
}
