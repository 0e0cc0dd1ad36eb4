//! Finds the encoding of a text and decodes it. Files of Windows programs are often windows-1252, GBK or
//! UTF-16.
//!
//! A byte order mark decides. Without one, a text that is UTF-8 is UTF-8, even if a few bytes of it are
//! damaged, and otherwise the statistics of `chardetng` decide.

use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

/// A decoded text without its byte order mark.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) text: String,
    pub(crate) encoding: &'static Encoding,
}

/// Decodes a text: by its byte order mark, else in the encoding that was named, else in the one that it seems
/// to have.
pub(crate) fn decode(bytes: &[u8], named: Option<&'static Encoding>) -> Decoded {
    let encoding = named.unwrap_or_else(|| {
        let mut detector = Detector::default();
        detector.feed(bytes);
        detector.finish().map_or(UTF_8, |found| found.encoding)
    });
    let (text, encoding, _) = encoding.decode(bytes);
    Decoded { text: text.into_owned(), encoding }
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) encoding: &'static Encoding,
    /// Whether it begins with a byte order mark.
    pub(crate) has_mark: bool,
    /// Places that are not in this encoding. Only counted in UTF-8.
    pub(crate) damaged: u64,
}

/// Bytes of text other than ASCII that are enough for the statistics.
const ENOUGH: usize = 1 << 20;
/// UTF-8 has at least so many whole characters other than ASCII for each damaged place. Texts in other
/// encodings have next to none.
const WHOLE_PER_DAMAGED: u64 = 10;
/// Bytes of the longest part of a character that the end of a piece may cut.
const MAX_CUT: usize = 3;

/// Finds the encoding of a text that is read in pieces. The first piece must have some bytes.
pub(crate) struct Detector {
    statistics: EncodingDetector,
    /// Bytes of pieces that are not ASCII, in the statistics.
    fed: usize,
    /// From the first bytes.
    known: Option<Found>,
    read: usize,
    has_nul: bool,
    is_ascii: bool,
    has_escape: bool,
    whole: u64,
    damaged: u64,
    /// The beginning of a character that the last piece cut.
    cut: Vec<u8>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            statistics: EncodingDetector::new(Iso2022JpDetection::Allow),
            fed: 0,
            known: None,
            read: 0,
            has_nul: false,
            is_ascii: true,
            has_escape: false,
            whole: 0,
            damaged: 0,
            cut: Vec::new(),
        }
    }
}

impl Detector {
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        if self.read == 0 {
            self.known = by_first_bytes(piece);
        }
        self.read = self.read.saturating_add(piece.len());
        // In UTF-16, single bytes say nothing.
        if self.known.is_some_and(|found| found.encoding != UTF_8) {
            return;
        }
        self.has_nul |= piece.contains(&0);
        self.has_escape |= piece.contains(&0x1B);
        let is_ascii = piece.is_ascii();
        self.is_ascii &= is_ascii;
        if self.fed < ENOUGH {
            self.statistics.feed(piece, false);
            self.fed += if is_ascii { 0 } else { piece.len() };
        }
        if is_ascii && self.cut.is_empty() {
            return;
        }
        let joined = [std::mem::take(&mut self.cut).as_slice(), piece].concat();
        self.count(&joined);
    }

    /// Counts the characters of UTF-8 and the places that are none.
    fn count(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let characters = chunk.valid().chars().filter(|char| !char.is_ascii()).count();
            self.whole += characters as u64;
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && invalid.len() <= MAX_CUT && may_go_on(invalid) {
                self.cut = invalid.to_vec();
            } else {
                self.damaged += u64::from(!invalid.is_empty());
            }
        }
    }

    /// `None` if the file is no text.
    pub(crate) fn finish(mut self) -> Option<Found> {
        if let Some(found) = self.known.filter(|found| found.encoding != UTF_8) {
            return Some(found);
        }
        if self.has_nul {
            return None;
        }
        self.damaged += u64::from(!self.cut.is_empty());
        let has_mark = self.known.is_some_and(|found| found.has_mark);
        let is_utf8 = has_mark || self.damaged == 0 || self.whole >= self.damaged * WHOLE_PER_DAMAGED;
        let guessed = || self.statistics.guess(None, Utf8Detection::Deny);
        if is_utf8 && !(self.is_ascii && self.has_escape && guessed() == ISO_2022_JP) {
            return Some(Found { encoding: UTF_8, has_mark, damaged: self.damaged });
        }
        Some(Found { encoding: guessed(), has_mark: false, damaged: 0 })
    }
}

/// Whether these bytes begin a character of UTF-8.
fn may_go_on(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

/// Bytes of the beginning that show UTF-16 without a mark.
const SAMPLE: usize = 4 << 10;

/// A byte order mark, or the zeros of ASCII in UTF-16.
fn by_first_bytes(bytes: &[u8]) -> Option<Found> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return Some(Found { encoding, has_mark: true, damaged: 0 });
    }
    let (pairs, _) = bytes[..bytes.len().min(SAMPLE)].as_chunks::<2>();
    // Most characters of such a text are ASCII. Numbers of two bytes would show control characters.
    let is_text = |zero: usize| {
        let ascii = pairs.iter().filter(|pair| pair[zero] == 0);
        let (all, clean) = ascii.fold((0, true), |(all, clean), pair| {
            let byte = pair[1 - zero];
            (all + 1, clean && (byte >= b' ' || byte.is_ascii_whitespace()))
        });
        clean && pairs.len() >= 2 && all * 2 > pairs.len()
    };
    let encoding = match (is_text(1), is_text(0)) {
        (true, _) => UTF_16LE,
        (false, true) => UTF_16BE,
        (false, false) => return None,
    };
    Some(Found { encoding, has_mark: false, damaged: 0 })
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Finds the encoding of a whole file. `None` if it is no text.
pub(crate) fn detect(mut file: impl Read) -> io::Result<Option<Found>> {
    let (mut detector, mut piece) = (Detector::default(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(detector.finish()),
            read => detector.feed(&piece[..read]),
        }
    }
}

/// Decodes a file piece by piece, without its byte order mark. The whole text is never in memory.
pub(crate) fn decode_pieces(
    mut file: impl Read,
    encoding: &'static Encoding,
    mut with: impl FnMut(&str),
) -> io::Result<()> {
    let (mut decoder, mut piece) = (encoding.new_decoder_with_bom_removal(), vec![0; PIECE]);
    let mut text = String::with_capacity(4 * PIECE);
    loop {
        let read = file.read(&mut piece)?;
        let mut rest = &piece[..read];
        loop {
            let (result, used, _) = decoder.decode_to_string(rest, &mut text, read == 0);
            rest = &rest[used..];
            with(&text);
            text.clear();
            if result == CoderResult::InputEmpty {
                break;
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{BIG5, EUC_KR, GBK, SHIFT_JIS, WINDOWS_1252};

    fn found(bytes: &[u8], piece: usize) -> Option<&'static str> {
        let mut detector = Detector::default();
        bytes.chunks(piece).for_each(|piece| detector.feed(piece));
        detector.finish().map(|found| found.encoding.name())
    }

    const GERMAN: &str = "Straße;Größe;Käufer\nMüllerstraße;schön;Änderung\n";
    const CHINESE: &str = "姓名,城市,部门,备注\n张三,北京,财务部,这是一个测试\n李四,上海,市场部,没有问题\n";
    const JAPANESE: &str = "名前,都市,備考\n山田太郎,東京,これはテストです\n鈴木花子,大阪,問題ありません\n";
    const KOREAN: &str = "이름,도시,비고\n홍길동,서울,이것은 시험입니다\n김철수,부산,문제가 없습니다\n";

    #[test]
    fn encodings_are_found_whatever_the_pieces() {
        for (encoding, text) in
            [(WINDOWS_1252, GERMAN), (GBK, CHINESE), (SHIFT_JIS, JAPANESE), (EUC_KR, KOREAN)]
        {
            let (bytes, _, _) = encoding.encode(text);
            assert_eq!(decode(&bytes, None), Decoded { text: text.to_owned(), encoding });
            for piece in [1, 7, 4096] {
                assert_eq!(found(&bytes, piece), Some(encoding.name()), "pieces of {piece}");
            }
        }
        for text in ["", "plain\n", GERMAN, CHINESE, "\u{1b}[31mred\u{1b}[0m\n"] {
            for piece in [1, 2, 5, 4096] {
                assert_eq!(found(text.as_bytes(), piece), Some("UTF-8"), "{text}");
            }
        }
        assert_eq!(found(b"\x1b$B$3$l\x1b(B", 4096), Some("ISO-2022-JP"));
    }

    #[test]
    fn utf_16_is_found_with_a_mark_and_without() {
        let bytes = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(unit).collect()
        };
        for (mark, text) in [("\u{feff}", CHINESE), ("\u{feff}", "a"), ("", GERMAN)] {
            let marked = format!("{mark}{text}");
            for (unit, encoding) in
                [(u16::to_le_bytes as fn(u16) -> [u8; 2], UTF_16LE), (u16::to_be_bytes, UTF_16BE)]
            {
                let decoded = decode(&bytes(&marked, unit), None);
                assert_eq!(decoded, Decoded { text: text.to_owned(), encoding });
            }
        }
        assert_eq!(found(b"\0\x01\x02\x03\0\0", 4096), None, "binary");
        assert_eq!(found(b"a text with \0 in it", 4096), None);
    }

    #[test]
    fn a_few_damaged_bytes_leave_a_text_utf_8() {
        let damaged = [CHINESE.as_bytes(), b"\xff\xfe bad \xe5", CHINESE.as_bytes()].concat();
        for piece in [3, 4096] {
            let mut detector = Detector::default();
            damaged.chunks(piece).for_each(|piece| detector.feed(piece));
            let found = detector.finish().unwrap();
            assert!(found.encoding == UTF_8 && found.damaged >= 2, "{found:?}");
        }
        assert!(decode(&damaged, None).text.ends_with(CHINESE));
    }

    #[test]
    fn a_named_encoding_and_a_mark_win() {
        let (bytes, _, _) = BIG5.encode("中文");
        assert_eq!(decode(&bytes, Some(BIG5)).text, "中文");
        let marked = decode(b"\xef\xbb\xbfa", Some(BIG5));
        assert_eq!((marked.text.as_str(), marked.encoding), ("a", UTF_8));
    }

    #[test]
    fn files_are_decoded_in_pieces() {
        let text = CHINESE.repeat(3000);
        let (bytes, _, _) = GBK.encode(&text);
        let found = detect(&bytes[..]).unwrap().unwrap();
        let mut decoded = String::new();
        decode_pieces(&bytes[..], found.encoding, |piece| decoded.push_str(piece)).unwrap();
        assert_eq!((found.encoding, decoded), (GBK, text));
    }
}
