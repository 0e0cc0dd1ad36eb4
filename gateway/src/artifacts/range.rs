//! One byte range (RFC 9110, 14.1.2): pure.

use std::ops::Range;

use actix_web::http::header::{ByteRangeSpec, Range as RangeHeader};

/// What a Range header asks of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no header, one that is not understood, or several ranges at once, which a server may pass over.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Nothing,
}

pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(Ok(RangeHeader::Bytes(specs))) = header.map(str::parse) else {
        return Wanted::Whole;
    };
    let [spec] = specs.as_slice() else { return Wanted::Whole };
    let range = match *spec {
        ByteRangeSpec::FromTo(from, to) if from <= to => from..to.saturating_add(1).min(size),
        ByteRangeSpec::FromTo(..) => return Wanted::Whole,
        ByteRangeSpec::From(from) => from..size,
        ByteRangeSpec::Last(length) => size.saturating_sub(length)..size,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (header, expected) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=8-99", Wanted::Part(8..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=x", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
