//! Extracts the text of an HTML page that a person would read. It uses only the tokens and builds no tree:
//! for a hostile page with a hundred thousand nested elements, a tree takes quadratic time.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, CharacterTokens, EndTag, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult,
    Tokenizer, TokenizerOpts, states,
};
use url::Url;

use super::text::{Gap, Text};

/// Elements without readable text.
const SKIPPED: [&str; 6] = ["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that begin a line.
const BLOCKS: &str = " address article aside blockquote br button caption dd details div dl dt fieldset \
                      figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr label legend main nav ol \
                      option p section summary table textarea ul ";
/// The tokenizer gets this many bytes at once, until `MAX_TIME` is over: a tag with a million attributes
/// takes quadratic time.
const PIECE: usize = 4 * 1024;
const MAX_TIME: Duration = Duration::from_secs(3);
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Returns the text with its headings, list items and links, similar to Markdown. Links are relative to
/// `base`.
pub(super) fn readable(html: &str, base: &Url) -> String {
    let reader = Reader(RefCell::new(PageText { text: Text::new(base), ..PageText::default() }));
    let tokenizer = Tokenizer::new(reader, TokenizerOpts::default());
    let (begun, mut rest) = (Instant::now(), html);
    while !rest.is_empty()
        && begun.elapsed() < MAX_TIME
        && tokenizer.sink.0.borrow().text.len() < MAX_TEXT_BYTES
    {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE));
        let input = BufferQueue::default();
        input.push_back(StrTendril::from_slice(piece));
        // The tokenizer pauses at the end of a script, so that a browser can run it.
        while !input.is_empty() {
            let _ = tokenizer.feed(&input);
        }
        rest = behind;
    }
    tokenizer.end();
    let page = tokenizer.sink.0.into_inner();
    page.text.finish(&page.title)
}

#[derive(Default)]
struct Reader(RefCell<PageText>);

#[derive(Default)]
struct PageText {
    title: String,
    in_title: bool,
    in_pre: bool,
    /// The skipped element that is open, and how often it is nested in itself.
    skipped: Option<(String, usize)>,
    text: Text,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            CharacterTokens(characters) => page.characters(&characters),
            TagToken(tag) => return page.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl PageText {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let begins = tag.kind == StartTag;
        if name == "title" && self.skipped.is_none() {
            self.in_title = begins && self.title.is_empty();
        }
        let within_svg = self.skipped.as_ref().is_some_and(|(open, _)| open == "svg");
        if self.skip(name, tag) {
            return raw(name, begins && !(within_svg && tag.self_closing));
        }
        match (name, begins) {
            ("pre", _) => {
                self.in_pre = begins;
                self.text.gap(Gap::Paragraph);
            }
            ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", true) => {
                self.text.gap(Gap::Paragraph);
                let level = name[1..].parse().unwrap_or(1);
                self.text.word(&format!("{} ", "#".repeat(level)));
            }
            ("li", true) => {
                self.text.gap(Gap::Line);
                self.text.word("- ");
            }
            ("tr", _) => self.text.gap(Gap::Line),
            ("td" | "th", true) if self.text.is_within_line() => {
                self.text.gap(Gap::Space);
                self.text.word("| ");
            }
            ("a", true) => {
                let target = tag.attrs.iter().find(|attribute| &*attribute.name.local == "href");
                let target = target.map(|attribute| attribute.value.trim().to_owned()).unwrap_or_default();
                self.text.begin_link(target);
            }
            ("a", false) => self.text.end_link(),
            ("p" | "ul" | "ol" | "table" | "section" | "article" | "blockquote", _)
            | ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", false) => {
                self.text.gap(Gap::Paragraph);
            }
            _ if BLOCKS.contains(&format!(" {name} ")) => self.text.gap(Gap::Line),
            _ => {}
        }
        raw(name, begins)
    }

    /// Whether the tag begins or ends a skipped element, or is inside one.
    fn skip(&mut self, name: &str, tag: &Tag) -> bool {
        match &mut self.skipped {
            Some((open, depth)) => {
                if open == name {
                    *depth = if tag.kind == EndTag { depth.saturating_sub(1) } else { *depth + 1 };
                    if *depth == 0 {
                        self.skipped = None;
                    }
                }
                true
            }
            // HTML ignores the slash of <script/>, but not inside <svg>.
            None if tag.kind == StartTag
                && SKIPPED.contains(&name)
                && !(name == "svg" && tag.self_closing) =>
            {
                self.skipped = Some((name.to_owned(), 1));
                true
            }
            None => false,
        }
    }

    fn characters(&mut self, characters: &str) {
        if self.skipped.is_some() {
            return;
        }
        if self.in_title {
            self.title.push_str(characters);
            return;
        }
        if self.in_pre {
            self.text.word(characters);
            return;
        }
        if characters.starts_with(char::is_whitespace) {
            self.text.gap(Gap::Space);
        }
        let mut words = characters.split_whitespace();
        if let Some(first) = words.next() {
            self.text.word(first);
        }
        for word in words {
            self.text.gap(Gap::Space);
            self.text.word(word);
        }
        if characters.ends_with(char::is_whitespace) {
            self.text.gap(Gap::Space);
        }
    }
}

/// The content of these elements is not markup. A tree builder would say so to the tokenizer; without one,
/// this does.
fn raw(name: &str, begins: bool) -> TokenSinkResult<()> {
    match name {
        "script" if begins => TokenSinkResult::RawData(states::ScriptData),
        "style" | "iframe" | "noscript" if begins => TokenSinkResult::RawData(states::Rawtext),
        "title" | "textarea" if begins => TokenSinkResult::RawData(states::Rcdata),
        _ => TokenSinkResult::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_a_person_would() {
        let page = "<!doctype html><html><head><title>My  page</title><style>x{}</style>
            <script>if (a<b) alert('</p>')</script></head><body>
            <nav><a href='/x'>Home</a> <a href='#top'>Top</a> <a href='javascript:x()'>Do</a></nav>
            <h1>A <i>head</i>ing</h1>
            <p>Some <b>bold</b>&amp;\n <a href='https://e.com/a?b&amp;c'>link</a>.</p><ul><li>one<li>two</ul>
            <table><tr><th>a<th>b</th><tr><td>1</td><td>2</td></table><pre>  code\n   x</pre>
            <svg><title>no</title><path/></svg><noscript>no</noscript>End<br>Line</body></html>";
        insta::assert_snapshot!(read(page), @r"
My page

Home (https://e.com/x) Top Do

# A heading

Some bold& link (https://e.com/a?b&c).

- one
- two

a | b
1 | 2

  code
   x

End
Line
");
    }

    #[test]
    fn skipped_elements_end_at_their_end_tags() {
        assert_eq!(read("a<script src=x />secret()</script>b"), "ab");
        assert_eq!(read("a<style/>secret</style>b"), "ab");
        assert_eq!(read("a <svg><style/><script href='a.js'/><title/></svg> b"), "a b");
        assert_eq!(read("<a href='jobs.html'>J</a><a href='data:x'>D</a>"), "J (https://e.com/p/jobs.html)D");
        assert_eq!(read("<option>A</option><option>B</option>"), "A\nB");
    }

    #[test]
    fn hostile_pages_take_no_more_than_a_few_seconds() {
        let pieces = [
            "<div>",
            "<a href=x>",
            "<svg>",
            "<table><tr><td>",
            "<!--",
            "<p",
            "&amp",
            "</a>",
            "<title>",
            "<script>",
        ];
        let mut pages: Vec<_> = pieces.iter().map(|piece| piece.repeat((1 << 20) / piece.len())).collect();
        pages.push((0..200_000).fold("<p ".to_owned(), |page, number| page + &format!("a{number} ")));
        for page in pages {
            let begun = Instant::now();
            assert!(read(&page).len() < 3 << 20, "{page:.40}");
            assert!(begun.elapsed() < MAX_TIME * 6, "{page:.40}: {:?}", begun.elapsed());
        }
    }

    fn read(page: &str) -> String {
        readable(page, &Url::parse("https://e.com/p/").unwrap())
    }
}
