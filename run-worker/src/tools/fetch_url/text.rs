//! Builds a text from words, with the right gaps between them, and from links with their targets.

use std::fmt::Write as _;

use shared::net::public_url::MAX_URL_BYTES;
use url::Url;

#[derive(Default)]
pub(super) struct Text {
    base: Option<Url>,
    written: String,
    /// Where the text of the open link begins, and its target.
    link: Option<(usize, String)>,
    gap: Gap,
}

/// The gap before the next word.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    #[default]
    Nothing,
    Space,
    Line,
    Paragraph,
}

impl Text {
    /// Links are relative to `base`.
    pub(super) fn new(base: &Url) -> Self {
        Self { base: Some(base.clone()), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    pub(super) fn is_within_line(&self) -> bool {
        self.gap < Gap::Line
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    pub(super) fn word(&mut self, word: &str) {
        let gap = match std::mem::take(&mut self.gap) {
            _ if self.written.is_empty() => "",
            Gap::Nothing => "",
            Gap::Space if self.written.ends_with(' ') => "",
            Gap::Space => " ",
            Gap::Line => "\n",
            Gap::Paragraph => "\n\n",
        };
        self.written.push_str(gap);
        self.written.push_str(word);
    }

    /// Writes the target of a link that has a text and leads to another page.
    pub(super) fn end_link(&mut self) {
        let Some((begun, target)) = self.link.take() else { return };
        let to = self.base.as_ref().filter(|_| !target.is_empty() && !target.starts_with('#'));
        let to = to
            .and_then(|base| base.join(&target).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        if let Some(url) = to.filter(|url| self.written.len() > begun && url.as_str().len() <= MAX_URL_BYTES)
        {
            let _ = write!(self.written, " ({url})");
        }
    }

    /// An open link ends here.
    pub(super) fn begin_link(&mut self, target: String) {
        self.end_link();
        self.link = Some((self.written.len(), target));
    }

    pub(super) fn finish(self) -> String {
        self.written
    }
}
