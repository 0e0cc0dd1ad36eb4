//! What a person would read of an HTML page. Only its tokens are looked at: a tree of a page that nests a hundred thousand elements
//! costs its square in time, and the page is somebody else's.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, CharacterTokens, EndTag, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult,
    Tokenizer, TokenizerOpts, states,
};

/// Elements whose text nobody reads.
const UNREAD: [&str; 6] = ["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that begin a line.
const BLOCKS: [&str; 27] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "ol",
    "p",
    "section",
    "table",
    "ul",
];

/// The text with its headings, list items and links, in the manner of Markdown.
pub(super) fn readable(html: &str) -> String {
    let tokenizer = Tokenizer::new(Reader::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

#[derive(Default)]
struct Reader(RefCell<Text>);

#[derive(Default)]
struct Text {
    written: String,
    title: String,
    in_title: bool,
    in_pre: bool,
    /// The element whose end is waited for, and how often it is nested in itself.
    unread: Option<(String, usize)>,
    /// Where the open link's text begins, and where it leads.
    link: Option<(usize, String)>,
    gap: Gap,
}

/// What stands before the next word.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    Nothing,
    Space,
    Line,
    Paragraph,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut text = self.0.borrow_mut();
        match token {
            CharacterTokens(characters) => text.characters(&characters),
            TagToken(tag) => return text.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Text {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let begins = tag.kind == StartTag;
        if name == "title" && self.unread.is_none() {
            self.in_title = begins && self.title.is_empty();
        }
        if self.skip(name, tag) {
            return raw(name, begins);
        }
        match (name, begins) {
            ("pre", _) => {
                self.in_pre = begins;
                self.gap(Gap::Paragraph);
            }
            ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", true) => {
                self.gap(Gap::Paragraph);
                let level = name[1..].parse().unwrap_or(1);
                self.word(&format!("{} ", "#".repeat(level)));
            }
            ("li", true) => {
                self.gap(Gap::Line);
                self.word("- ");
            }
            ("tr", _) => self.gap(Gap::Line),
            ("td" | "th", true) if self.gap < Gap::Line => {
                self.gap(Gap::Space);
                self.word("| ");
            }
            ("a", true) => {
                let target = tag.attrs.iter().find(|attribute| &*attribute.name.local == "href");
                let target = target.map(|attribute| attribute.value.trim().to_owned()).unwrap_or_default();
                self.end_link();
                self.link = Some((self.written.len(), target));
            }
            ("a", false) => self.end_link(),
            ("p" | "ul" | "ol" | "table" | "section" | "article" | "blockquote", _)
            | ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", false) => {
                self.gap(Gap::Paragraph);
            }
            _ if BLOCKS.contains(&name) => self.gap(Gap::Line),
            _ => {}
        }
        raw(name, begins)
    }

    /// Whether the tag is inside something that nobody reads, or begins or ends it.
    fn skip(&mut self, name: &str, tag: &Tag) -> bool {
        match &mut self.unread {
            Some((waited_for, depth)) => {
                if waited_for == name {
                    *depth = if tag.kind == EndTag { depth.saturating_sub(1) } else { *depth + 1 };
                    if *depth == 0 {
                        self.unread = None;
                    }
                }
                true
            }
            None if tag.kind == StartTag && !tag.self_closing && UNREAD.contains(&name) => {
                self.unread = Some((name.to_owned(), 1));
                true
            }
            None => false,
        }
    }

    fn characters(&mut self, characters: &str) {
        if self.unread.is_some() {
            return;
        }
        if self.in_title {
            self.title.push_str(characters);
            return;
        }
        if self.in_pre {
            self.word(characters);
            return;
        }
        if characters.starts_with(char::is_whitespace) {
            self.gap(Gap::Space);
        }
        let mut words = characters.split_whitespace();
        if let Some(first) = words.next() {
            self.word(first);
        }
        for word in words {
            self.gap(Gap::Space);
            self.word(word);
        }
        if characters.ends_with(char::is_whitespace) {
            self.gap(Gap::Space);
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn word(&mut self, word: &str) {
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

    /// A link is worth telling where it has a text and leads somewhere else.
    fn end_link(&mut self) {
        let Some((begun, target)) = self.link.take() else { return };
        if self.written.len() > begun && !target.is_empty() && !target.starts_with(['#', 'j', 'J']) {
            self.written.push_str(&format!(" ({target})"));
        }
    }

    fn finish(self) -> String {
        let title = self.title.split_whitespace().collect::<Vec<_>>().join(" ");
        if title.is_empty() { self.written } else { format!("{title}\n\n{}", self.written) }
    }
}

/// The content of these is no markup: the tokenizer has to be told, since there is no tree that would.
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
    use std::time::{Duration, Instant};

    #[test]
    fn a_page_is_read_as_a_person_would() {
        let page = "<!doctype html><html><head><title>My  page</title><style>x{}</style><script>if (a<b) alert('</p>')</script></head>
            <body><nav><a href='/x'>Home</a> <a href='#top'>Top</a> <a href='javascript:x()'>Do</a></nav><h1>A <i>head</i>ing</h1>
            <p>Some <b>bold</b>&amp;\n <a href='https://e.com/a?b&amp;c'>link</a>.</p><ul><li>one<li>two</ul>
            <table><tr><th>a<th>b</th><tr><td>1</td><td>2</td></table><pre>  code\n   x</pre><svg><title>no</title><path/></svg>
            <noscript>no</noscript>End<br>Line</body></html>";
        insta::assert_snapshot!(readable(page), @r"
My page

Home (/x) Top Do

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
    fn hostile_pages_cost_no_more_than_their_length() {
        let begun = Instant::now();
        for piece in [
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
        ] {
            let page = piece.repeat((1 << 20) / piece.len());
            assert!(readable(&page).len() < 3 << 20, "{piece}");
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}
