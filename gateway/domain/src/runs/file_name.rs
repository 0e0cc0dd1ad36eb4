//! The names of files in the workspace. Pure. A client may send any name; the result is one file name in one
//! directory.

const MAX_BYTES: usize = 200;

/// A safe name, as close to the given one as possible.
pub(super) fn safe(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let clean = |c: char| if c.is_alphanumeric() || "._- ()+@=,".contains(c) { c } else { '_' };
    let name: String = last.chars().map(clean).collect();
    let name = name.trim_matches([' ', '.']);
    if name.is_empty() { "file".to_owned() } else { cut(name, "") }
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
