//! Guesses whether a page shows its content only after its scripts ran, which capi does not run.

/// Bytes of text of a page whose content may be missing, if it says that it needs scripts.
const LITTLE: usize = 400;
/// The same, if it only has scripts.
const NEXT_TO_NOTHING: usize = 120;
/// Bytes of inline scripts that may make a page. Counters and the like are smaller.
const MANY_BYTES: usize = 2 << 10;
/// Bytes of `noscript` elements that are kept.
const MAX_NOTE_BYTES: usize = 2 << 10;
/// The elements that frameworks fill.
const ROOTS: [&str; 7] = ["root", "app", "__next", "__nuxt", "___gatsby", "svelte", "app-root"];

/// What a page says about its scripts.
#[derive(Default)]
pub(super) struct Scripts {
    external: usize,
    inline_bytes: usize,
    /// The text for browsers without scripts.
    note: String,
    has_root: bool,
}

impl Scripts {
    pub(super) fn begin(&mut self, is_external: bool) {
        self.external += usize::from(is_external);
    }

    pub(super) fn root(&mut self, id: &str) {
        self.has_root |= ROOTS.contains(&id);
    }

    /// The content of a skipped element.
    pub(super) fn skipped(&mut self, element: &str, characters: &str) {
        match element {
            "script" => self.inline_bytes += characters.len(),
            "noscript" if self.note.len() < MAX_NOTE_BYTES => {
                self.note.push_str(&characters[..characters.floor_char_boundary(MAX_NOTE_BYTES)]);
            }
            _ => {}
        }
    }

    /// Whether a page with so many bytes of text seems to need its scripts.
    pub(super) fn are_needed(&self, text_bytes: usize) -> bool {
        let has_some = self.external > 0 || self.inline_bytes >= MANY_BYTES;
        let says_so = self.note.to_ascii_lowercase().contains("javascript");
        (text_bytes < LITTLE && (says_so || (has_some && self.has_root)))
            || (text_bytes < NEXT_TO_NOTHING && has_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_made_by_scripts_is_known() {
        let mut shell = Scripts::default();
        assert!(!shell.are_needed(0));
        shell.skipped("script", "alert(1)");
        assert!(!shell.are_needed(6), "a small script makes no page");
        shell.begin(true);
        assert!(shell.are_needed(6) && !shell.are_needed(200));
        shell.root("root");
        assert!(shell.are_needed(200) && !shell.are_needed(500));
        let mut asking = Scripts::default();
        asking.skipped("noscript", "You need to enable JavaScript to run this app.");
        assert!(asking.are_needed(200) && !asking.are_needed(5000));
    }
}
