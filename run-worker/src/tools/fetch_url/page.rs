//! Turns the bytes of a page into text.

use encoding_rs::{Encoding, UTF_8};

use super::client::{Head, MAX_PAGE_BYTES, PageBytes};
use super::content::{Content, is_feed};
use super::feed::feed_text;
use super::readable::{Readable, readable};
use super::window::MAX_SHOWN_BYTES;
use crate::documents::{csv, encoding};

/// A page names its encoding within these first bytes, if it does at all.
const SNIFFED_BYTES: usize = 1024;

const NEEDS_SCRIPTS: &str = "[This page seems to need JavaScript to show its content. capi runs no scripts, \
                             so the content may be missing. Look for another source: another page, a feed, \
                             or an API of the site.]";
const LEFT_OUT: &str = "[Menus and the like are left out; with whole_page true they are read too.]";

/// What a model reads of a page or a document.
#[derive(Debug, Default)]
pub(super) struct PageText {
    pub(super) title: String,
    /// What it is, if it is not a page.
    pub(super) about: Option<String>,
    pub(super) text: String,
    /// What the model must know beside the text.
    pub(super) notes: Vec<String>,
}

/// How the model wants to read it.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    /// The whole page with its menus.
    pub(super) whole: bool,
    /// The text of a table, and not its head.
    pub(super) from_offset: bool,
}

/// A large page takes time.
pub(super) fn page_text(
    page: &PageBytes,
    (content, content_type): (Content, &str),
    head: &Head,
    wish: Wish,
) -> PageText {
    let named = named_encoding(content_type).or_else(|| {
        let beginning = &page.bytes[..page.bytes.len().min(SNIFFED_BYTES)];
        // Other text does not name its encoding: such a word belongs to its content.
        let is_markup = matches!(content, Content::Html | Content::Feed) || beginning.starts_with(b"<?xml");
        is_markup.then(|| named_encoding(&String::from_utf8_lossy(beginning))).flatten()
    });
    let decoded = encoding::decode(&page.bytes, named);
    let mut read = match content {
        Content::Html => of_html(readable(&decoded.text, &head.url, wish.whole)),
        Content::Table => of_table(decoded.text, wish),
        Content::Feed => of_feed(&decoded.text, head),
        Content::Text if is_feed(&decoded.text) => of_feed(&decoded.text, head),
        _ => PageText { text: decoded.text, ..PageText::default() },
    };
    if decoded.encoding != UTF_8 {
        read.notes.push(format!("[decoded from {}]", decoded.encoding.name()));
    }
    if page.is_cut {
        read.notes.push(format!(
            "[The page is longer; only its first {} MiB were read. With save_to, all of it is saved as a \
             file.]",
            MAX_PAGE_BYTES >> 20
        ));
    }
    read
}

fn of_html(page: Readable) -> PageText {
    let mut notes = Vec::new();
    if page.needs_scripts {
        notes.push(NEEDS_SCRIPTS.to_owned());
    }
    if page.is_part {
        notes.push(LEFT_OUT.to_owned());
    }
    if page.is_cut {
        notes.push("[The page is too long or too complex; only its beginning was read.]".to_owned());
    }
    PageText { title: page.title, text: page.text, notes, about: None }
}

fn of_table(text: String, wish: Wish) -> PageText {
    let is_long = text.len() > MAX_SHOWN_BYTES && !wish.from_offset;
    match is_long.then(|| csv::head(&text)).flatten() {
        Some(head) => {
            let note = "[This is the head of the table. With save_to, all of it is saved as a file for a \
                        program; with offset 0, its text is read.]";
            PageText { text: head, notes: vec![note.to_owned()], ..PageText::default() }
        }
        None => PageText { text, ..PageText::default() },
    }
}

fn of_feed(xml: &str, head: &Head) -> PageText {
    let feed = feed_text(xml, &head.url);
    if feed.text.is_empty() {
        return PageText { text: xml.to_owned(), ..PageText::default() };
    }
    let notes = if feed.is_cut { vec!["[The feed has more entries.]".to_owned()] } else { vec![] };
    PageText { title: feed.title, about: Some("feed".to_owned()), text: feed.text, notes }
}

/// The encoding that a header or the beginning of a page names.
fn named_encoding(text: &str) -> Option<&'static Encoding> {
    let at = ["charset=", "encoding="].iter().find_map(|name| Some(text.find(name)? + name.len()))?;
    let named = text[at..].trim_start_matches(['"', '\'']);
    let name = named.split(['"', '\'', ';', '>', '/', ' ', '?']).next()?;
    Encoding::for_label(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn read(content: Content, bytes: &[u8], wish: Wish) -> PageText {
        let url = Url::parse("https://e.org/a").unwrap();
        let head = Head { asked: url.clone(), url, status: 200 };
        page_text(&PageBytes { bytes: bytes.to_vec(), is_cut: false }, (content, "text/plain"), &head, wish)
    }

    const PART: Wish = Wish { whole: false, from_offset: false };

    #[test]
    fn an_encoding_is_found_in_headers_and_in_the_page() {
        let named = |text: &str| named_encoding(text).map(Encoding::name);
        assert_eq!(named("text/html; charset=\"shift_jis\"; x=y"), Some("Shift_JIS"));
        assert_eq!(named("<meta charset=windows-1251>"), Some("windows-1251"));
        assert_eq!(named("<meta content='text/html; charset=iso-8859-1'/>"), Some("windows-1252"));
        assert_eq!(named("<?xml version='1.0' encoding='iso-8859-2'?>"), Some("ISO-8859-2"));
        assert_eq!(named("text/html"), None);
    }

    #[test]
    fn only_markup_names_its_encoding_in_its_text() {
        for (content, text) in [
            (Content::Text, "# Größe\nopen(path, encoding='latin-1')\n"),
            (Content::Text, "<h1>Größe</h1> A page says charset=iso-8859-1.\n"),
            (Content::Table, "Größe,Note\n1,charset=shift_jis\n"),
        ] {
            let page = read(content, text.as_bytes(), PART);
            assert_eq!((page.text.as_str(), page.notes.len()), (text, 0));
        }
        let xml = read(Content::Text, b"<?xml version='1.0' encoding='iso-8859-1'?><a>Gr\xf6\xdfe</a>", PART);
        assert!(xml.text.contains("Größe"), "{}", xml.text);
    }

    #[test]
    fn pages_are_read_by_what_they_are() {
        let page = read(Content::Html, b"<meta charset=windows-1252><title>T</title><p>Gr\xf6\xdfe", PART);
        assert_eq!((page.title.as_str(), page.text.as_str()), ("T", "Größe"));
        assert_eq!(page.notes, ["[decoded from windows-1252]"]);
        let yaml = read(Content::Text, b"a: 1\n", PART);
        assert_eq!((yaml.text.as_str(), yaml.notes.len()), ("a: 1\n", 0));
        let feed = read(Content::Text, b"<rss><channel><title>F</title><item><title>One", PART);
        assert_eq!((feed.title.as_str(), feed.text.as_str()), ("F", "1. One\n\n"));
        assert_eq!(read(Content::Feed, b"<rss></rss>", PART).text, "<rss></rss>");
    }

    #[test]
    fn a_long_table_is_shown_by_its_head() {
        assert_eq!(read(Content::Table, b"a,b\n1,2\n", PART).text, "a,b\n1,2\n");
        let long = format!("a,b\n{}", "1,2\n".repeat(20_000));
        let head = read(Content::Table, long.as_bytes(), PART);
        assert!(head.text.starts_with("Table with 2 column(s), 20000 row(s)"), "{:.60}", head.text);
        assert!(head.notes[0].contains("save_to"));
        let text = read(Content::Table, long.as_bytes(), Wish { whole: false, from_offset: true });
        assert_eq!(text.text, long);
    }
}
