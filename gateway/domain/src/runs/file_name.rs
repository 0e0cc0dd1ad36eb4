//! The names of files in the workspace. Pure. A client may send any name; the result is one file name in one
//! directory.

use unicode_normalization::UnicodeNormalization;

const MAX_BYTES: usize = 200;

/// A safe name, as close to the given one as possible.
pub(super) fn safe(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    // macOS sends é as e and a mark.
    let name: String = last.nfc().map(clean).collect();
    let name = name.trim_matches([' ', '.']);
    if name.is_empty() { "file".to_owned() } else { cut(name, "") }
}

/// The character, or what stands for it.
fn clean(c: char) -> char {
    let changes_order =
        matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_ascii() {
        if c.is_ascii_alphanumeric() || "._- ()+@=,".contains(c) { c } else { '_' }
    } else if c.is_control() || changes_order || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
        '_'
    } else if c.is_whitespace() {
        ' '
    } else {
        // Letters, marks and symbols of all scripts mean nothing to a shell.
        c
    }
}

/// The name, with a number if `others` has it.
pub(super) fn unique(name: String, others: impl Fn(&str) -> bool) -> String {
    if !others(&name) {
        return name;
    }
    let numbered = (2..).map(|number| cut(&name, &format!("-{number}")));
    numbered.into_iter().find(|name| !others(name)).unwrap_or(name)
}

/// The name with `more` before its extension, cut to [`MAX_BYTES`].
fn cut(name: &str, more: &str) -> String {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 20 => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let room = MAX_BYTES - more.len() - extension.len();
    format!("{}{more}{extension}", &stem[..stem.floor_char_boundary(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_one_name_in_one_directory() {
        for (given, name) in [
            ("data.csv", "data.csv"),
            ("../../x", "x"),
            ("..", "file"),
            ("a/b/", "b"),
            ("C:\\temp\\é è.txt", "é è.txt"),
            ("/dev/null", "null"),
            ("a\0b\nc", "a_b_c"),
            ("", "file"),
            (".bashrc", "bashrc"),
            ("-rf *", "-rf _"),
            ("$(id).sh", "_(id).sh"),
            ("Umsa\u{308}tze.csv", "Ums\u{e4}tze.csv"),
            ("q\u{307}\u{323}.csv", "q\u{323}\u{307}.csv"),
            ("हिन्दी.csv", "हिन्दी.csv"),
            ("Bericht – Q3 (€).csv", "Bericht – Q3 (€).csv"),
            ("10.30\u{202f}PM.png", "10.30 PM.png"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("a\u{85}b\u{2028}c", "a_b_c"),
        ] {
            assert_eq!(safe(given), name, "{given:?}");
        }
        let long = safe(&format!("{}.csv", "é".repeat(300)));
        assert!(long.len() <= MAX_BYTES && long.ends_with("é.csv"), "{long}");
        let taken = ["a.csv", "a-2.csv"];
        assert_eq!(unique("a.csv".to_owned(), |name| taken.contains(&name)), "a-3.csv");
        assert_eq!(unique("b".to_owned(), |name| taken.contains(&name)), "b");
    }
}
