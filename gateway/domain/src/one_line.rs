//! Names that lists show on one line.

/// What is wrong with a name that lists show on one line, in words that follow the field's name.
pub(crate) fn wrong_name(name: &str, most_chars: usize) -> Option<String> {
    if name.trim().is_empty() || name.chars().count() > most_chars {
        return Some(format!("must have 1 to {most_chars} characters"));
    }
    wrong_characters(name).map(str::to_owned)
}

/// The same for a text of any length.
pub(crate) fn wrong_characters(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Some("must be on one line, without control characters");
    }
    if text.chars().any(is_bidi_control) {
        return Some(
            "must not contain characters that change the direction of text (U+202A to U+202E, U+2066 to \
             U+2069)",
        );
    }
    text.chars().all(is_invisible).then_some("must have a visible character")
}

/// Makes the text behind it appear in another order than it has.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character shows nothing by itself.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_people_can_see() {
        for fine in ["a", "Ada's app", "ملخص", "👩‍💻 code", "שלום\u{200f}!", "é".repeat(10).as_str()]
        {
            assert_eq!(wrong_name(fine, 10), None, "{fine:?}");
        }
        for (name, said) in [
            ("", "1 to 10 characters"),
            (" \t", "1 to 10 characters"),
            ("abcdefghijk", "1 to 10 characters"),
            ("a\nb", "on one line"),
            ("\u{1b}[31m", "on one line"),
            ("a\u{85}b", "on one line"),
            ("a\u{2028}b", "on one line"),
            ("a\u{202e}b", "direction"),
            ("a\u{2066}b", "direction"),
            ("\u{200b}", "visible"),
            (" \u{feff}\u{2800}", "visible"),
        ] {
            assert!(wrong_name(name, 10).is_some_and(|wrong| wrong.contains(said)), "{name:?}");
        }
    }
}
