//! Replaces text, whatever line endings the file and the model use. Pure.

use std::borrow::Cow;

use super::nearest;

const CRLF: &str = "\r\n";
/// Bytes of the new text in UTF-8. A file of 4 MiB in another encoding has up to 12 MiB in UTF-8. Without
/// this limit, `all` with a short `old` could make a text that is larger than the worker's memory.
const MAX_EDITED_BYTES: usize = 16 << 20;

/// What the model asks for.
pub(super) struct Edit<'e> {
    pub(super) old: &'e str,
    pub(super) new: &'e str,
    pub(super) all: bool,
}

/// A text with `\n` as its only line ending, and where a `\r` before it was left out.
struct Plain<'t> {
    text: Cow<'t, str>,
    /// Positions in `text` of the `\n` that had a `\r`.
    removed: Vec<usize>,
}

/// Returns the new text and the number of replacements. The error is a sentence for the model.
pub(super) fn replace(text: &str, edit: &Edit<'_>) -> Result<(String, usize), String> {
    let Edit { old, new, all } = *edit;
    if old.is_empty() {
        return Err("`old` is empty; use write_file to make a new file.".to_owned());
    }
    let (plain, old, new) = (Plain::of(text), one_ending(old), one_ending(new));
    if old == new {
        return Err(
            "`old` and `new` are the same, so nothing would change. Line endings are kept; a program can \
                    change them."
                .to_owned(),
        );
    }
    let found: Vec<usize> = plain.text.match_indices(&*old).map(|(at, _)| at).collect();
    match found.len() {
        0 => return Err(nearest::not_found(&plain.text, &old)),
        count @ 2.. if !all => {
            return Err(format!(
                "`old` occurs {count} times in the file: {}; add lines around it until it is unique, or set \
                 `all`.",
                places(&plain.text, &found)
            ));
        }
        _ => {}
    }
    let new = if uses_crlf(text) { Cow::Owned(new.replace('\n', CRLF)) } else { new };
    let removed_bytes = found.len().saturating_mul(old.len());
    let added_bytes = found.len().saturating_mul(new.len());
    let size = text.len().saturating_sub(removed_bytes).saturating_add(added_bytes);
    if size > MAX_EDITED_BYTES {
        return Err(format!(
            "The file would have about {size} bytes after {} replacement(s), but edit_file writes at most \
             {MAX_EDITED_BYTES}. Nothing was replaced. Use a shorter `new`, or a program.",
            found.len()
        ));
    }
    let (mut edited, mut after) = (String::with_capacity(size), 0);
    for at in &found {
        edited.push_str(&text[after..plain.original(*at)]);
        edited.push_str(&new);
        after = plain.original(at + old.len());
    }
    edited.push_str(&text[after..]);
    Ok((edited, found.len()))
}

/// Lines that an error names.
const MAX_PLACES: usize = 5;

fn places(text: &str, found: &[usize]) -> String {
    let line = |at: &usize| (text[..*at].matches('\n').count() + 1).to_string();
    let mut lines: Vec<_> = found.iter().take(MAX_PLACES).map(line).collect();
    if found.len() > MAX_PLACES {
        lines.push("…".to_owned());
    }
    format!("in lines {}", lines.join(", "))
}

fn one_ending(text: &str) -> Cow<'_, str> {
    if text.contains(CRLF) { Cow::Owned(text.replace(CRLF, "\n")) } else { Cow::Borrowed(text) }
}

/// Whether most lines of the file end like those of Windows.
fn uses_crlf(text: &str) -> bool {
    let (crlf, all) = (text.matches(CRLF).count(), text.matches('\n').count());
    crlf * 2 > all
}

impl<'t> Plain<'t> {
    fn of(text: &'t str) -> Self {
        if !text.contains(CRLF) {
            return Self { text: Cow::Borrowed(text), removed: Vec::new() };
        }
        let removed = text.match_indices(CRLF).enumerate().map(|(before, (at, _))| at - before).collect();
        Self { text: one_ending(text), removed }
    }

    /// The position in the file's text. A `\r` that was left out belongs to the `\n` after it.
    fn original(&self, at: usize) -> usize {
        at + self.removed.partition_point(|removed| *removed < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), String> {
        replace(text, &Edit { old, new, all })
    }

    #[test]
    fn the_old_text_must_be_unique_unless_all_is_set() {
        assert_eq!(edited("a b a", "b", "c", false), Ok(("a c a".to_owned(), 1)));
        assert_eq!(edited("a b a", "a", "", true), Ok((" b ".to_owned(), 2)));
        for (old, what) in
            [("a", "2 times in the file: in lines 1, 2;"), ("x", "does not occur"), ("", "is empty")]
        {
            let why = edited("a b\n a", old, "c", false).unwrap_err();
            assert!(why.contains(what), "{why}");
        }
        assert!(edited("a", "a", "a", false).unwrap_err().contains("are the same"));
    }

    #[test]
    fn an_edit_that_makes_a_huge_file_is_refused_before_it_is_made() {
        let text = "a".repeat(4 << 20);
        let why = edited(&text, "a", &"b".repeat(20_000), true).unwrap_err();
        assert!(why.contains("83886080000 bytes") && why.contains("at most 16777216"), "{why}");
        let (longest, _) = edited(&text, "a", "bbbb", true).unwrap();
        assert_eq!(longest.len(), MAX_EDITED_BYTES);
    }

    #[test]
    fn line_endings_are_matched_and_kept() {
        for (text, old, new, expected) in [
            ("a\r\nb\r\nc\r\n", "a\nb", "1\n2\n3", "1\r\n2\r\n3\r\nc\r\n"),
            ("a\r\nb\r\n", "b", "1\n2", "a\r\n1\r\n2\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n", "x\r\n", "x\r\n"),
            ("a\r\nb\r\n", "\nb", "", "a\r\n"),
            ("a\nb\n", "a\r\nb", "1\r\n2", "1\n2\n"),
            ("a\nb\r\nc\nd\n", "b\nc", "x\ny", "a\nx\ny\nd\n"),
            ("a\r\nb\nc\r\n", "a\nb\nc", "x", "x\r\n"),
            ("é\r\nü\r\n", "ü", "ö", "é\r\nö\r\n"),
        ] {
            let (edited, count) = edited(text, old, new, false).unwrap();
            assert_eq!((edited.as_str(), count), (expected, 1), "{text:?} {old:?}");
        }
        let (all, count) = edited("x\r\nx\r\n", "x\n", "y\n", true).unwrap();
        assert_eq!((all.as_str(), count), ("y\r\ny\r\n", 2));
        let why = edited("a\r\n", "a\r\n", "a\n", false).unwrap_err();
        assert!(why.contains("Line endings are kept"), "{why}");
    }
}
