//! Where a URL in a text may end. A sentence or markup puts signs around a URL that a URL may also contain.
//! Pure.

/// Ends of one URL that are tried, of each kind: `(https://e.org/a),` may end before the bracket, before the
/// comma or after it.
const MAX_ENDS: usize = 8;
/// A URL may contain these, but a sentence or markup may also put them behind it.
const PERHAPS_BEHIND: [char; 13] = ['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*', '_', '~', '…'];
/// The URL may end before one of these although other characters follow.
const BRACKETS: [char; 5] = [')', ']', '\'', ',', ';'];

/// Whether no URL contains this character. Spaces and control characters end a URL too.
pub(crate) const fn is_beyond(c: char) -> bool {
    matches!(c, '<' | '>' | '"' | '`' | '\\' | '{' | '}' | '|' | '^' | '\u{a0}')
}

/// The ends that a URL may have in the rest of a word: all of it, and before each character that may not
/// belong to it.
pub(crate) fn ends(rest: &str) -> impl Iterator<Item = usize> {
    let trimmed = rest.trim_end_matches(PERHAPS_BEHIND).len();
    let brackets = rest.char_indices().filter(|(_, c)| BRACKETS.contains(c)).map(|(at, _)| at);
    let last = rest[trimmed..].char_indices().map(move |(at, _)| trimmed + at);
    [rest.len()].into_iter().chain(last.take(MAX_ENDS)).chain(brackets.take(MAX_ENDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_end_before_what_may_not_belong_to_it() {
        let found = |rest: &'static str| ends(rest).map(|end| &rest[..end]).collect::<Vec<_>>();
        assert_eq!(found("e.org/a"), ["e.org/a"]);
        assert_eq!(found("e.org/a)."), ["e.org/a).", "e.org/a", "e.org/a)", "e.org/a"]);
        assert!(found("e.org/b_(c)?q=1)").contains(&"e.org/b_(c)?q=1"));
        assert!(found("e.org/a),[two](http://e.org/b)").contains(&"e.org/a"));
        assert_eq!(ends(&",".repeat(1000)).count(), 1 + 2 * MAX_ENDS);
    }
}
