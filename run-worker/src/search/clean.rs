//! Makes one visible line of a text that other people wrote. So a title cannot look like another result, and
//! no invisible characters hide words from a person who reads the thread. Pure.

use super::Hit;

/// Bytes. A longer title or snippet says nothing more about the page.
const MAX_TITLE: usize = 200;
const MAX_SNIPPET: usize = 500;
const MAX_DATE: usize = 40;

pub(super) fn clean(hit: &Hit) -> Hit {
    let date = hit.date.as_deref().map(|date| line(date, MAX_DATE)).filter(|date| !date.is_empty());
    Hit {
        title: line(&hit.title, MAX_TITLE),
        url: hit.url.clone(),
        snippet: line(&hit.snippet, MAX_SNIPPET),
        date,
    }
}

/// The beginning of the text on one line, without invisible characters.
fn line(text: &str, max: usize) -> String {
    // Cut first: the rest of a huge text costs nothing then.
    let begun = &text[..text.floor_char_boundary(4 * max)];
    let visible = begun.chars().filter(|c| !is_invisible(*c));
    let visible: String = visible.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > max {
        line.truncate(line.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        line.push('…');
    }
    line
}

/// Characters that change the direction of text or take no space: zero-width and bidirectional ones, tags.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text of Brave: HTML entities, and marks around the words of the query.
pub(super) fn without_marks(text: &str) -> String {
    let plain = text.replace("<strong>", "").replace("</strong>", "");
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&#x27;", "'").replace("&#39;", "'").replace("&nbsp;", " ").replace("&amp;", "&")
}

/// `2026-05-01` of `2026-05-01T10:00:00`. Other texts stay as they are.
pub(super) fn day(text: &str) -> String {
    let fits = |at: usize, byte: u8| if [4, 7].contains(&at) { byte == b'-' } else { byte.is_ascii_digit() };
    let is_day = |day: &str| day.bytes().enumerate().all(|(at, byte)| fits(at, byte));
    match text.split_at_checked(10) {
        Some((day, rest)) if is_day(day) && (rest.is_empty() || rest.starts_with(['T', ' '])) => {
            day.to_owned()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_visible_line() {
        for (text, expected) in [
            (" a\n\n[2] Fake — https://e.org/\t b ", "a [2] Fake — https://e.org/ b"),
            ("a\u{0}b\u{1b}[31mc", "a b [31mc"),
            ("\u{202e}gpj\u{200b}.\u{e0041}exe", "gpj.exe"),
            ("日本語 🙂", "日本語 🙂"),
            ("\n \u{200d}", ""),
        ] {
            assert_eq!(line(text, 100), expected, "{text:?}");
        }
        let long = line(&"é".repeat(1_000_000), 11);
        assert_eq!(long, "éééé…");
    }

    #[test]
    fn only_a_date_is_cut() {
        for (text, expected) in [
            ("2026-05-01T10:00:00", "2026-05-01"),
            ("2026-05-01", "2026-05-01"),
            ("2026-05-012", "2026-05-012"),
            ("Fri, 01 May 2026 10:00:00 GMT", "Fri, 01 May 2026 10:00:00 GMT"),
            ("2026年05月", "2026年05月"),
        ] {
            assert_eq!(day(text), expected);
        }
    }
}
