//! One byte range (RFC 9110, 14.1.2). Pure.

use std::ops::Range;

use actix_web::http::header::{ByteRangeSpec, Range as RangeHeader};

/// What a Range header requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Requested {
    /// All bytes: there is no header, it is malformed, or it has several ranges, which a server may ignore.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Unsatisfiable,
}

pub(super) fn requested_range(header: Option<&str>, size: u64) -> Requested {
    let Some(Ok(RangeHeader::Bytes(specs))) = header.map(str::parse) else {
        return Requested::Whole;
    };
    let [spec] = specs.as_slice() else { return Requested::Whole };
    let range = match *spec {
        ByteRangeSpec::FromTo(from, to) if from <= to => from..to.saturating_add(1).min(size),
        ByteRangeSpec::FromTo(..) => return Requested::Whole,
        ByteRangeSpec::From(from) => from..size,
        ByteRangeSpec::Last(length) => size.saturating_sub(length)..size,
    };
    if range.is_empty() { Requested::Unsatisfiable } else { Requested::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (header, expected) in [
            ("bytes=0-3", Requested::Part(0..4)),
            ("bytes=4-", Requested::Part(4..10)),
            ("bytes=-3", Requested::Part(7..10)),
            ("bytes=-30", Requested::Part(0..10)),
            ("bytes=8-99", Requested::Part(8..10)),
            ("bytes=10-", Requested::Unsatisfiable),
            ("bytes=-0", Requested::Unsatisfiable),
            ("bytes=5-2", Requested::Whole),
            ("bytes=0-1,3-4", Requested::Whole),
            ("lines=1-2", Requested::Whole),
            ("bytes=x", Requested::Whole),
        ] {
            assert_eq!(requested_range(Some(header), 10), expected, "{header}");
        }
        assert_eq!(requested_range(None, 10), Requested::Whole);
        assert_eq!(requested_range(Some("bytes=0-"), 0), Requested::Unsatisfiable);
    }
}
