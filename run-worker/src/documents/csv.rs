//! The head of a table of values with delimiters (CSV): its columns, its first rows, and the number of rows.

mod record;

use std::fmt::Write as _;

use record::{Record, records};

/// The delimiters that are tried, the usual one first.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Records that decide about the delimiter.
const SAMPLE: usize = 20;
const SHOWN_ROWS: usize = 20;
const SHOWN_COLUMNS: usize = 50;
const SHOWN_CELL_CHARS: usize = 60;
/// Rows are shown until the head has this many bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The head of the table for a model. None if the text has no columns.
#[must_use]
pub fn head(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = Format::of(text)?;
    let mut all = format.records(text, SHOWN_COLUMNS);
    let columns = all.next()?;
    let (named, rest) =
        (columns.columns, records(&text[columns.bytes..], format.delimiter, format.quotes, 0));
    let rows = rest.count();
    let mut head = format!("Table with {named} column(s), {rows} row(s)");
    if rows > 0 {
        head.push_str(" below the first line");
    }
    let _ = write!(head, ", delimiter {:?}.\nFirst line: {}", char::from(format.delimiter), line(&columns));
    if named > SHOWN_COLUMNS {
        let _ = write!(head, "\n[only the first {SHOWN_COLUMNS} of {named} columns are shown]");
    }
    let (mut shown, mut widths) = (0, (usize::MAX, 0));
    for record in all.take(SHOWN_ROWS) {
        if head.len() > MAX_HEAD_BYTES {
            break;
        }
        widths = (widths.0.min(record.columns), widths.1.max(record.columns));
        let _ = write!(head, "\n{}", line(&record));
        shown += 1;
    }
    if shown > 0 && widths != (named, named) {
        let _ = write!(head, "\n[these rows have {} to {} columns]", widths.0, widths.1);
    }
    if shown < rows {
        let _ = write!(head, "\n[only the first {shown} of {rows} rows are shown]");
    }
    Some(head)
}

/// How the values of a table are written.
struct Format {
    delimiter: u8,
    /// Whether quotation marks enclose values.
    quotes: bool,
}

impl Format {
    /// The delimiter whose records agree most about their columns.
    fn of(text: &str) -> Option<Self> {
        let agreement = |delimiter: u8| {
            let mut sample = records(text, delimiter, true, 0).take(SAMPLE);
            let first = sample.next().map_or(0, |record| record.columns);
            let (mut same, mut all) = (1, 1);
            for record in sample {
                same += usize::from(record.columns == first);
                all += 1;
            }
            // In thousandths. Of delimiters that agree alike, the one with more columns, then the usual one.
            (first > 1).then(|| (same * 1000 / all, first))
        };
        let best =
            DELIMITERS.into_iter().rev().filter_map(|delimiter| Some((agreement(delimiter)?, delimiter)));
        let (_, delimiter) = best.max_by_key(|(agreement, _)| *agreement)?;
        // A quotation mark that is never closed would make one value of the rest of the table.
        let quotes = records(text, delimiter, true, 0).all(|record| record.is_closed);
        Some(Self { delimiter, quotes })
    }

    fn records<'t>(&self, text: &'t str, kept: usize) -> impl Iterator<Item = Record> + use<'t> {
        records(text, self.delimiter, self.quotes, kept)
    }
}

fn line(record: &Record) -> String {
    let cells: Vec<_> = record.values.iter().map(|value| cell(value)).collect();
    cells.join(" | ")
}

fn cell(value: &str) -> String {
    let words = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN_CELL_CHARS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_shown_by_its_columns_and_first_rows() {
        assert_eq!(
            head("\u{feff}name;price\r\n\"Müller; Söhne\";\"1,5\"\r\n\"a \"\"b\"\"\";2\r\n").unwrap(),
            "Table with 2 column(s), 2 row(s) below the first line, delimiter ';'.\n\
             First line: name | price\nMüller; Söhne | 1,5\na \"b\" | 2"
        );
        for (text, delimiter) in [
            ("a,b\n1,2\n", "','"),
            ("a\tb\n1,5\t2\n", "'\\t'"),
            ("a|b|c\n1|2|3", "'|'"),
            ("a,b;c,d;e\n1;2;3\n", "';'"),
        ] {
            assert!(head(text).unwrap().contains(&format!("delimiter {delimiter}")), "{text}");
        }
        for text in ["", "one\ntwo\n", "\n\n"] {
            assert_eq!(head(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let columns: Vec<_> = (0..10_000).map(|number| format!("c{number}")).collect();
        let wide = format!("{0}\n{0}\n", columns.join(","));
        let shown = head(&wide).unwrap();
        assert!(shown.starts_with("Table with 10000 column(s), 1 row(s)"), "{shown:.60}");
        assert!(shown.contains("first 50 of 10000 columns") && shown.len() < 2000, "{}", shown.len());
        let long = format!("a,b\n{}", "1,\"x\ny\"\n".repeat(100_000));
        let shown = head(&long).unwrap();
        assert!(shown.contains("100000 row(s)") && shown.ends_with("first 20 of 100000 rows are shown]"));
        let large = format!("a,b\n{}", format!("{},{}\n", "x ".repeat(500), "é".repeat(500)).repeat(30));
        assert!(head(&large).unwrap().contains(&format!("{}…", "é".repeat(60))));
    }

    #[test]
    fn uneven_rows_and_open_quotes_are_told() {
        assert!(head("a,b,c\n1,2\n1,2,3,4\n").unwrap().ends_with("[these rows have 2 to 4 columns]"));
        let open = head("size,n\n5\",1\n\"6,2\n7,3\n8,4\n").unwrap();
        assert!(open.contains("4 row(s)") && open.contains("\"6 | 2"), "{open}");
    }
}
