//! The result of a call: where the text came from, the piece of it that is shown, and the page as a source.

use std::fmt::Write as _;

use shared::runs::events::{FoundSource, SourceUse};
use shared::text::CleanText;

use super::client::Head;
use super::content::Announced;
use super::page::PageText;
use super::window::{MAX_SHOWN_BYTES, Window};
use crate::tools::{Output, SourceIds};

/// More than the piece of the text, the lines above it, and the notes below it.
pub(super) const MAX_RESULT_BYTES: usize = 48 << 10;
/// Bytes of a source's title.
const MAX_TITLE_BYTES: usize = 300;
/// The answers with these codes are errors.
const FIRST_ERROR: u16 = 400;

impl Head {
    pub(super) const fn is_error(&self) -> bool {
        self.status >= FIRST_ERROR
    }

    /// The page as a source of the run. None for an error, and if the run has too many sources.
    fn source(&self, title: &str, ids: &SourceIds) -> Option<FoundSource> {
        let url = self.asked.to_string();
        let id = (!self.is_error()).then(|| ids.of(&url)).flatten()?;
        let title = CleanText::new(title, MAX_TITLE_BYTES).into_string();
        Some(FoundSource { id, url, title, how: SourceUse::Read, snippet: String::new(), date: None })
    }

    /// The lines above the text. `about` says what was read.
    fn lines(&self, source: Option<&FoundSource>, about: Option<&str>) -> String {
        let mut lines = format!("URL: {}\n", self.asked);
        if self.url != self.asked {
            let _ = writeln!(lines, "Redirected to: {}", self.url);
        }
        let _ = writeln!(lines, "Status: {}", self.status);
        if let Some(about) = about {
            let _ = writeln!(lines, "Content: {about}");
        }
        if let Some(FoundSource { id, .. }) = source {
            let _ = writeln!(lines, "Source [{id}]: cite it as [{id}]");
        }
        lines
    }
}

/// The result of a call that reads. `offset` is counted in characters.
pub(super) fn read(head: &Head, page: &PageText, offset: usize, ids: &SourceIds) -> Output {
    let source = head.source(&page.title, ids);
    let mut text = head.lines(source.as_ref(), page.about.as_deref());
    if !page.title.is_empty() && offset == 0 {
        let _ = writeln!(text, "Title: {}", page.title);
    }
    let whole = page.text.trim();
    let window = Window::of(whole, offset, MAX_SHOWN_BYTES);
    let _ = write!(text, "\n{}", if whole.is_empty() { "[there is no text]" } else { window.text });
    for note in window.note().iter().chain(&page.notes) {
        let _ = write!(text, "\n{note}");
    }
    output(&text, source)
}

/// The result of a call that saves. It does not quote the path: the model wrote it, and what a page's result
/// holds counts as the page's text.
pub(super) fn saved(head: &Head, announced: &Announced, bytes: u64, ids: &SourceIds) -> Output {
    let source = head.source("", ids);
    let named = announced.media_type();
    let media_type = if named.is_empty() { "no type named" } else { named.as_str() };
    let mut text = head.lines(source.as_ref(), None);
    let _ = write!(text, "\nSaved {bytes} bytes ({media_type}) at the path in save_to.");
    if let Some(compression) = announced.compression() {
        let _ = write!(text, " The server sent it compressed ({compression}): unpack it with a program.");
    }
    output(&text, source)
}

fn output(text: &str, source: Option<FoundSource>) -> Output {
    let text = CleanText::new(text, MAX_RESULT_BYTES).into_string();
    Output { text, sources: source.into_iter().collect(), ..Output::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn head(status: u16, redirected: bool) -> Head {
        let url = |path: &str| Url::parse(&format!("https://e.org/{path}")).unwrap();
        Head { asked: url("a"), url: url(if redirected { "b" } else { "a" }), status }
    }

    fn page(text: &str) -> PageText {
        PageText { title: "A title".to_owned(), text: text.to_owned(), ..PageText::default() }
    }

    #[test]
    fn a_page_is_a_source_with_a_number() {
        let ids = SourceIds::new([("https://e.org/a", 3)].into_iter());
        let output = read(&head(200, true), &page("Words."), 0, &ids);
        assert_eq!(
            output.text,
            "URL: https://e.org/a\nRedirected to: https://e.org/b\nStatus: 200\nSource [3]: cite it as [3]\n\
             Title: A title\n\nWords."
        );
        let [source] = &output.sources[..] else { panic!("{:?}", output.sources) };
        assert_eq!(
            (source.id, source.url.as_str(), source.title.as_str()),
            (3, "https://e.org/a", "A title")
        );
        assert_eq!(source.how, SourceUse::Read);
        let missing = read(&head(404, false), &page("Gone."), 0, &ids);
        assert!(
            missing.sources.is_empty() && missing.text.starts_with("URL: https://e.org/a\nStatus: 404\n")
        );
    }

    #[test]
    fn a_long_text_names_the_next_offset() {
        let ids = SourceIds::default();
        let long = page(&"日本 ".repeat(20_000));
        let first = read(&head(200, false), &long, 0, &ids).text;
        let next =
            first.rsplit_once("read on with offset ").unwrap().1.trim_end_matches(']').parse().unwrap();
        assert!(first.len() < MAX_RESULT_BYTES && next > 10_000, "{next}");
        let second = read(&head(200, false), &long, next, &ids).text;
        assert!(
            second.contains("\n日本 ")
                && !second.contains("Title:")
                && second.contains(&format!("[characters {next} to "))
        );
        assert!(read(&head(200, false), &page(" "), 0, &ids).text.ends_with("[there is no text]"));
    }

    #[test]
    fn a_saved_file_is_told_without_words_of_the_model() {
        let announced = |encoding: &str| Announced {
            content_type: String::new(),
            disposition: String::new(),
            encoding: encoding.to_owned(),
            path: "/a".to_owned(),
        };
        let output = saved(&head(200, false), &announced("identity"), 12, &SourceIds::default());
        assert!(
            output.text.ends_with("Saved 12 bytes (no type named) at the path in save_to."),
            "{}",
            output.text
        );
        assert_eq!(output.sources.len(), 1);
        let packed = saved(&head(200, false), &announced(" GZIP"), 12, &SourceIds::default()).text;
        assert!(packed.contains("compressed (gzip): unpack it with a program"), "{packed}");
    }
}
