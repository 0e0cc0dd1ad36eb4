//! A text file that is written again in the encoding that it has. Pure.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::documents::encoding::Detector;

/// A text whose bytes are the same when it is encoded again.
#[derive(Debug)]
pub(super) struct Encoded {
    text: String,
    encoding: &'static Encoding,
    has_mark: bool,
}

impl Encoded {
    /// `None` for a file that is no text, or whose bytes would change.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut detector = Detector::default();
        detector.feed(bytes);
        let found = detector.finish()?;
        let (text, encoding, _) = found.encoding.decode(bytes);
        let read = Self { text: text.into_owned(), encoding, has_mark: found.has_mark };
        let is_same = read.with(&read.text).is_ok_and(|again| again == bytes);
        is_same.then_some(read)
    }

    /// Without the byte order mark.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the file with another text. The error is a sentence for the model.
    pub(super) fn with(&self, text: &str) -> Result<Vec<u8>, String> {
        let marked = if self.has_mark { format!("\u{feff}{text}") } else { text.to_owned() };
        if self.encoding == UTF_8 {
            return Ok(marked.into_bytes());
        }
        // `encoding_rs` does not encode UTF-16.
        if self.encoding == UTF_16LE {
            return Ok(marked.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        if self.encoding == UTF_16BE {
            return Ok(marked.encode_utf16().flat_map(u16::to_be_bytes).collect());
        }
        match self.encoding.encode(text) {
            (bytes, _, false) => Ok(bytes.into_owned()),
            (_, _, true) => Err(format!(
                "The file is {}, which lacks some characters of `new`. Use others, or convert the file to \
                 UTF-8 with a program first.",
                self.encoding.name()
            )),
        }
    }

    /// What stays as it is, unless that is plain UTF-8.
    pub(super) fn kept(&self) -> Option<String> {
        match (self.encoding == UTF_8, self.has_mark) {
            (true, false) => None,
            (true, true) => Some("UTF-8 with a byte order mark".to_owned()),
            (false, _) => Some(self.encoding.name().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::WINDOWS_1252;

    const TEXT: &str = "Straße;Größe;Käufer\r\nMüllerstraße;schön\r\n";

    #[test]
    fn the_bytes_stay_but_for_the_edit() {
        let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{TEXT}").encode_utf16().flat_map(unit).collect()
        };
        for (bytes, kept) in [
            (TEXT.as_bytes().to_vec(), None),
            (format!("\u{feff}{TEXT}").into_bytes(), Some("UTF-8 with a byte order mark")),
            (WINDOWS_1252.encode(TEXT).0.into_owned(), Some("windows-1252")),
            (utf16(u16::to_le_bytes), Some("UTF-16LE")),
            (utf16(u16::to_be_bytes), Some("UTF-16BE")),
        ] {
            let read = Encoded::read(&bytes).unwrap();
            assert_eq!((read.text(), read.kept().as_deref()), (TEXT, kept));
            let longer = read.with(&format!("{TEXT}é")).unwrap();
            assert!(longer.starts_with(&bytes) && longer.len() > bytes.len());
        }
    }

    #[test]
    fn what_cannot_be_written_again_is_refused() {
        assert!(Encoded::read(b"a\0b").is_none());
        let damaged = ["ä".repeat(50).as_bytes(), b"\xff"].concat();
        assert!(Encoded::read(&damaged).is_none(), "the damaged byte would be lost");
        let (bytes, _, _) = WINDOWS_1252.encode(TEXT);
        let why = Encoded::read(&bytes).unwrap().with("日本").unwrap_err();
        assert!(why.contains("windows-1252, which lacks"), "{why}");
    }
}
