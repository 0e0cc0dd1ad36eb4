//! Splits a table into its records, one after another.

/// One record of a table.
pub(super) struct Record {
    /// The first values.
    pub(super) values: Vec<String>,
    /// The number of all values.
    pub(super) columns: usize,
    /// With the end of the line.
    pub(super) bytes: usize,
    /// Whether each quoted value ends.
    pub(super) is_closed: bool,
}

/// The records that are not empty lines. Each holds its first `kept` values.
pub(super) fn records(text: &str, delimiter: u8, quotes: bool, kept: usize) -> impl Iterator<Item = Record> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let skipped = rest.trim_start_matches(['\r', '\n']);
        let before = rest.len() - skipped.len();
        let mut record = first(skipped, delimiter, quotes, kept)?;
        rest = &skipped[record.bytes..];
        record.bytes += before;
        Some(record)
    })
}

/// The delimiter and the quotation mark are ASCII, so every place between them is one of characters.
fn first(text: &str, delimiter: u8, quotes: bool, kept: usize) -> Option<Record> {
    if text.is_empty() {
        return None;
    }
    let bytes = text.as_bytes();
    let mut record = Record { values: Vec::new(), columns: 0, bytes: 0, is_closed: true };
    let mut begin = 0;
    loop {
        let end = end_of_value(bytes, begin, delimiter, quotes);
        record.columns += 1;
        record.is_closed &= end.is_some();
        let end = end.unwrap_or(bytes.len());
        if record.values.len() < kept {
            record.values.push(value(&text[begin..end], quotes));
        }
        begin = end + 1;
        if bytes.get(end) != Some(&delimiter) {
            record.bytes = begin.min(bytes.len());
            return Some(record);
        }
    }
}

/// The place of the delimiter or the line's end behind a value. None if its quotation mark is not closed.
fn end_of_value(bytes: &[u8], begin: usize, delimiter: u8, quotes: bool) -> Option<usize> {
    let mut at = begin;
    if quotes && bytes.get(at) == Some(&b'"') {
        loop {
            at += 1 + bytes[at + 1..].iter().position(|byte| *byte == b'"')?;
            if bytes.get(at + 1) != Some(&b'"') {
                break;
            }
            at += 1;
        }
        at += 1;
    }
    let end = bytes[at..].iter().position(|byte| *byte == delimiter || *byte == b'\n' || *byte == b'\r');
    // The last line may have no end.
    Some(end.map_or(bytes.len(), |end| at + end))
}

fn value(raw: &str, quotes: bool) -> String {
    match raw.strip_prefix('"').filter(|_| quotes) {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\""),
        None => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_follow_each_other() {
        let values = |text: &str| -> Vec<Vec<String>> {
            records(text, b',', true, 9).map(|record| record.values).collect()
        };
        assert_eq!(values("a,b\r\n\r\n\"x,\n\"\"y\"\"\",\n,"), [["a", "b"], ["x,\n\"y\"", ""], ["", ""]]);
        assert_eq!(values("日,\"本\"z,é"), [["日", "本\"z", "é"]]);
        assert!(values("\n\n").is_empty());
        let open: Vec<_> = records("a,\"b\nc,d", b',', true, 1).collect();
        assert!(open.len() == 1 && !open[0].is_closed && open[0].columns == 2);
        assert_eq!(records("a,\"b\nc,d", b',', false, 0).count(), 2);
        let lengths: usize = records("a\nb\r\nc", b',', true, 0).map(|record| record.bytes).sum();
        assert_eq!(lengths, 6);
    }
}
