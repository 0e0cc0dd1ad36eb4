//! Reads RSS and Atom: the title of the feed, and title, link, date and summary of its entries.

use std::cell::RefCell;
use std::fmt::Write as _;

use html5ever::tokenizer::{CharacterTokens, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult};
use url::Url;

use super::readable::readable;
use super::tokens::give_tokens;

/// Entries that are shown. Feeds rarely have more.
const MAX_ENTRIES: usize = 100;
/// Bytes of each field of an entry. A summary may hold a whole page.
const MAX_FIELD_BYTES: usize = 4 << 10;

pub(super) struct FeedText {
    pub(super) title: String,
    pub(super) text: String,
    /// Not the whole feed was read.
    pub(super) is_cut: bool,
}

/// Links are relative to `base`.
pub(super) fn feed_text(xml: &str, base: &Url) -> FeedText {
    let is_full = |reader: &Reader| reader.0.borrow().entries.len() > MAX_ENTRIES;
    let (reader, is_complete) = give_tokens(xml, Reader::default(), is_full);
    let mut feed = reader.0.into_inner();
    feed.entries.extend(feed.entry.take());
    let is_cut = !is_complete || feed.entries.len() > MAX_ENTRIES;
    let mut text = String::new();
    for (number, entry) in feed.entries.iter().take(MAX_ENTRIES).enumerate() {
        entry.write(number + 1, base, &mut text);
    }
    FeedText { title: plain(&feed.title, base), text, is_cut }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Title,
    Link,
    Date,
    Summary,
}

#[derive(Default)]
struct Entry {
    title: String,
    link: String,
    date: String,
    summary: String,
}

#[derive(Default)]
struct Reader(RefCell<Feed>);

#[derive(Default)]
struct Feed {
    title: String,
    /// The open entry.
    entry: Option<Entry>,
    entries: Vec<Entry>,
    /// The field that is read, and the name of its element.
    open: Option<(Field, String)>,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut feed = self.0.borrow_mut();
        match token {
            CharacterTokens(characters) => feed.characters(&characters),
            TagToken(tag) if tag.kind == StartTag => feed.begin(&tag),
            TagToken(tag) => feed.end(&tag.name),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    /// As in SVG: the content of CDATA sections is text.
    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        true
    }
}

impl Feed {
    fn begin(&mut self, tag: &Tag) {
        let name: &str = &tag.name;
        if name == "item" || name == "entry" {
            self.entries.extend(self.entry.replace(Entry::default()));
            self.open = None;
            return;
        }
        // Markup inside of a field.
        if self.open.is_some() {
            return;
        }
        let Some(field) = field(name) else { return };
        if name == "link" {
            self.link(tag);
        }
        let is_first = match &mut self.entry {
            Some(entry) => entry.field(field).is_empty(),
            None => field == Field::Title && self.title.is_empty(),
        };
        if is_first && !tag.self_closing {
            self.open = Some((field, name.to_owned()));
        }
    }

    /// Atom has the target in an attribute.
    fn link(&mut self, tag: &Tag) {
        let attribute = |name: &str| {
            let found = tag.attrs.iter().find(|attribute| &*attribute.name.local == name);
            found.map(|attribute| attribute.value.to_string())
        };
        let is_page = attribute("rel").is_none_or(|rel| rel == "alternate");
        if let (Some(entry), Some(target), true) = (&mut self.entry, attribute("href"), is_page) {
            entry.link = target;
        }
    }

    fn end(&mut self, name: &str) {
        if name == "item" || name == "entry" {
            self.entries.extend(self.entry.take());
            self.open = None;
        } else if self.open.as_ref().is_some_and(|(_, open)| open == name) {
            self.open = None;
        }
    }

    fn characters(&mut self, characters: &str) {
        let Some((field, _)) = &self.open else { return };
        let target = match &mut self.entry {
            Some(entry) => entry.field(*field),
            None => &mut self.title,
        };
        let room = MAX_FIELD_BYTES.saturating_sub(target.len());
        target.push_str(&characters[..characters.floor_char_boundary(room)]);
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "title" => Field::Title,
        "link" => Field::Link,
        "pubdate" | "dc:date" | "published" | "updated" => Field::Date,
        "description" | "summary" | "content" | "content:encoded" => Field::Summary,
        _ => return None,
    })
}

impl Entry {
    fn field(&mut self, field: Field) -> &mut String {
        match field {
            Field::Title => &mut self.title,
            Field::Link => &mut self.link,
            Field::Date => &mut self.date,
            Field::Summary => &mut self.summary,
        }
    }

    fn write(&self, number: usize, base: &Url, text: &mut String) {
        let title = plain(&self.title, base);
        let _ = write!(text, "{number}. {}", if title.is_empty() { "(no title)" } else { &title });
        let link = base.join(self.link.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if let Some(link) = link.filter(|_| !self.link.trim().is_empty()) {
            let _ = write!(text, " ({link})");
        }
        if !self.date.trim().is_empty() {
            let _ = write!(text, " — {}", self.date.trim());
        }
        text.push('\n');
        let summary = plain(&self.summary, base);
        if !summary.is_empty() {
            let _ = writeln!(text, "{summary}");
        }
        text.push('\n');
    }
}

/// Fields may hold HTML.
fn plain(field: &str, base: &Url) -> String {
    readable(field.trim(), base, true).text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> FeedText {
        feed_text(xml, &Url::parse("https://e.org/feed").unwrap())
    }

    #[test]
    fn rss_and_atom_are_read_alike() {
        let rss =
            "<?xml version='1.0'?><rss><channel><title>News &amp; more</title><link>https://e.org/</link>
            <item><title><![CDATA[One <b>bold</b>]]></title><link>/1</link><pubDate>Mon, 5 Jan 2026</pubDate>
            <description>&lt;p&gt;First &lt;a href='/x'&gt;link&lt;/a&gt;&lt;/p&gt;</description></item>
            <item><description>No title.</description></item></channel></rss>";
        let feed = read(rss);
        assert_eq!((feed.title.as_str(), feed.is_cut), ("News & more", false));
        assert_eq!(
            feed.text,
            "1. One bold (https://e.org/1) — Mon, 5 Jan 2026\nFirst link (https://e.org/x)\n\n\
             2. (no title)\nNo title.\n\n"
        );
        let atom =
            "<feed xmlns='http://www.w3.org/2005/Atom'><title>Blog</title><link href='https://e.org/'/>
            <entry><title>Post</title><link rel='self' href='/s'/><link href='https://e.org/p'/>
            <updated>2026-01-05</updated><content type='xhtml'><div>Some <b>text</b></div></content>
            </entry></feed>";
        let feed = read(atom);
        assert_eq!(feed.title, "Blog");
        assert_eq!(feed.text, "1. Post (https://e.org/p) — 2026-01-05\nSome text\n\n");
    }

    #[test]
    fn hostile_feeds_are_bounded() {
        let many = format!("<rss>{}", "<item><title>x</title></item>".repeat(5000));
        let feed = read(&many);
        assert!(feed.is_cut && feed.text.contains("\n100. x") && !feed.text.contains("\n101. "));
        let large = format!("<rss><item><description>{}", "x ".repeat(1 << 20));
        assert!(read(&large).text.len() < 2 * MAX_FIELD_BYTES);
        assert_eq!(read("<rss>").text, "");
    }
}
