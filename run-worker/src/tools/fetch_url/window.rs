//! The piece of a long text that one call shows. The next call reads on where it ends.

/// Bytes that one call shows.
pub(super) const MAX_SHOWN_BYTES: usize = 40 << 10;
/// A piece ends at a space, if there is one within so many bytes before its end: half a URL is another URL.
const LONGEST_WORD: usize = 2100;

/// A piece of a text. Places are counted in characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window<'t> {
    pub(super) text: &'t str,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) total: usize,
}

impl<'t> Window<'t> {
    pub(super) fn of(text: &'t str, from: usize, max_bytes: usize) -> Self {
        let total = text.chars().count();
        let from = from.min(total);
        let begin = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
        let rest = &text[begin..];
        let piece = if rest.len() > max_bytes { before_a_word(rest, max_bytes) } else { rest };
        Self { text: piece, from, to: from + piece.chars().count(), total }
    }

    /// What the model must know about the rest.
    pub(super) fn note(&self) -> Option<String> {
        let Self { from, to, total, .. } = self;
        if from == to && *total > 0 {
            return Some(format!("[the text has {total} characters; there is nothing at offset {from}]"));
        }
        if to < total {
            return Some(format!("[characters {from} to {to} of {total}; read on with offset {to}]"));
        }
        (*from > 0).then(|| format!("[characters {from} to {to} of {total}: the end]"))
    }
}

fn before_a_word(text: &str, max_bytes: usize) -> &str {
    let piece = &text[..text.floor_char_boundary(max_bytes)];
    let last_word = &piece[piece.floor_char_boundary(piece.len().saturating_sub(LONGEST_WORD))..];
    let Some(at) = last_word.rfind(char::is_whitespace) else { return piece };
    let behind = at + last_word[at..].chars().next().map_or(1, char::len_utf8);
    let end = piece.len() - last_word.len() + behind;
    // A piece that is only a space would not lead on.
    if piece[..end].trim().is_empty() { piece } else { &piece[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other() {
        let text = "Größe und Gewicht".repeat(3);
        let (mut read, mut from) = (String::new(), 0);
        loop {
            let window = Window::of(&text, from, 12);
            assert!(!window.text.is_empty() && window.text.len() <= 12);
            read.push_str(window.text);
            if window.to == window.total {
                break;
            }
            let note = window.note().unwrap();
            assert!(note.ends_with(&format!("of 51; read on with offset {}]", window.to)), "{note}");
            from = window.to;
        }
        assert_eq!(read, text);
    }

    #[test]
    fn short_texts_and_wrong_offsets() {
        assert_eq!(Window::of("all of it", 0, 100).note(), None);
        assert_eq!(Window::of("", 5, 100).note(), None);
        assert_eq!(Window::of("abc", 1, 100).note().unwrap(), "[characters 1 to 3 of 3: the end]");
        let beyond = Window::of("abc", 9, 100);
        assert_eq!((beyond.text, beyond.to), ("", 3));
        assert!(beyond.note().unwrap().contains("nothing at offset 3"));
        let long = "x".repeat(100_000);
        assert_eq!(Window::of(&long, 0, 50_000).to, 50_000, "a word without end is cut");
    }
}
