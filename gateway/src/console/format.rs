//! Times, amounts and sentences as pages show them. A page shows UTC; the script replaces it with the
//! browser's zone.

use std::fmt;

use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use shared::time::format_time;

/// A point in time as a `<time>` element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, shown) = (format_time(self.0), self.0.format("%Y-%m-%d %H:%M:%S UTC"));
        write!(f, r#"<time datetime="{exact}" title="{shown}">{shown}</time>"#)
    }
}

impl HtmlSafe for Timestamp {}

/// A duration in a few characters.
pub(crate) fn duration(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let ms = (to - from).num_milliseconds().max(0);
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..=3_599_999 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A number of bytes in a few characters.
pub(crate) fn bytes(count: i64) -> String {
    match count {
        ..=1023 => format!("{count} B"),
        1024..=1_048_575 => format!("{}.{} KiB", count >> 10, ((count & 1023) * 10) >> 10),
        _ => format!("{}.{} MiB", count >> 20, ((count & 1_048_575) * 10) >> 20),
    }
}

/// A number with commas between thousands.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut parts: Vec<&str> =
        digits.as_bytes().rchunks(3).filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.reverse();
    format!("{}{}", if number < 0 { "-" } else { "" }, parts.join(","))
}

/// A number with its noun: "1 field", "3 fields".
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A message of the domain as a sentence: with a capital letter and a full stop.
pub(crate) fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn amounts_are_short() {
        let since = |ms| duration(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms));
        assert_eq!(
            [since(7), since(1234), since(61_500), since(7_260_000)],
            ["7 ms", "1.2 s", "1 min 1 s", "2 h 1 min"]
        );
        assert_eq!([bytes(900), bytes(1536), bytes(5 << 20)], ["900 B", "1.5 KiB", "5.0 MiB"]);
        assert_eq!([count(7), count(1234), count(1_000_000)], ["7", "1,234", "1,000,000"]);
        assert_eq!([counted(1, "field"), counted(3, "field")], ["1 field", "3 fields"]);
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the app is archived"), "The app is archived.");
        assert_eq!(sentence("Done!"), "Done!");
    }
}
