//! Extracts the text of an HTML page that a person would read, from its tokens.

use std::cell::RefCell;

use html5ever::tokenizer::{
    CharacterTokens, EndTag, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult, states,
};
use url::Url;

use super::regions::Regions;
use super::scripts::Scripts;
use super::text::{Gap, Text};
use super::tokens::give_tokens;

/// Elements without readable text.
const SKIPPED: [&str; 6] = ["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that begin a line.
const BLOCKS: &str = " address article aside blockquote br button caption dd details div dl dt fieldset \
                      figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr label legend main nav ol \
                      option p section summary table textarea ul ";
/// Bytes of the text. The model reads less of it at once.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;
/// Bytes of a title. Longer ones are mistakes of the page.
const MAX_TITLE_BYTES: usize = 300;

/// The text of a page.
pub(super) struct Readable {
    pub(super) title: String,
    pub(super) text: String,
    /// Menus and the like are left out.
    pub(super) is_part: bool,
    /// The page is larger than what was read of it.
    pub(super) is_cut: bool,
    /// The page seems to show its content only with scripts.
    pub(super) needs_scripts: bool,
}

/// Returns the text with its headings, list items and links, similar to Markdown. Links are relative to
/// `base`.
pub(super) fn readable(html: &str, base: &Url, whole: bool) -> Readable {
    let reader = Reader(RefCell::new(PageText { regions: Regions::new(base), ..PageText::default() }));
    let is_full = |reader: &Reader| reader.0.borrow().regions.len() >= MAX_TEXT_BYTES;
    let (reader, is_complete) = give_tokens(html, reader, is_full);
    let page = reader.0.into_inner();
    let needs_scripts = page.scripts.are_needed(page.regions.len());
    let (text, is_part) = page.regions.finish(whole);
    let mut title = page.title.split_whitespace().collect::<Vec<_>>().join(" ");
    title.truncate(title.floor_char_boundary(MAX_TITLE_BYTES));
    Readable { title, text, is_part, is_cut: !is_complete, needs_scripts }
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
    scripts: Scripts,
    regions: Regions,
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
            if name == "script" && begins {
                self.scripts.begin(attribute(tag, "src").is_some());
            }
            return raw(name, begins && !(within_svg && tag.self_closing));
        }
        if name == "div" && begins {
            self.scripts.root(attribute(tag, "id").unwrap_or_default());
        }
        self.regions.tag(name, begins);
        self.element(name, begins, tag);
        raw(name, begins)
    }

    fn element(&mut self, name: &str, begins: bool, tag: &Tag) {
        match (name, begins) {
            ("pre", _) => {
                self.in_pre = begins;
                self.gap(Gap::Paragraph);
            }
            ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", true) => {
                let level = "#".repeat(name[1..].parse().unwrap_or(1));
                self.regions.write(|text| {
                    text.gap(Gap::Paragraph);
                    text.word(&format!("{level} "));
                });
            }
            ("li", true) => self.regions.write(|text| {
                text.gap(Gap::Line);
                text.word("- ");
            }),
            ("tr", _) => self.gap(Gap::Line),
            ("td" | "th", true) => self.regions.write(|text| {
                if text.is_within_line() {
                    text.gap(Gap::Space);
                    text.word("| ");
                }
            }),
            ("a", true) => {
                let target = attribute(tag, "href").unwrap_or_default().trim();
                self.regions.write(|text| text.begin_link(target.to_owned()));
            }
            ("a", false) => self.regions.write(Text::end_link),
            ("p" | "ul" | "ol" | "table" | "section" | "article" | "blockquote", _)
            | ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", false) => self.gap(Gap::Paragraph),
            _ if BLOCKS.contains(&format!(" {name} ")) => self.gap(Gap::Line),
            _ => {}
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.regions.write(|text| text.gap(gap));
    }

    fn word(&mut self, word: &str) {
        self.regions.write(|text| text.word(word));
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
        if let Some((element, _)) = &self.skipped {
            self.scripts.skipped(element, characters);
            return;
        }
        if self.in_title {
            if self.title.len() < MAX_TITLE_BYTES {
                self.title.push_str(characters);
            }
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
}

fn attribute<'t>(tag: &'t Tag, name: &str) -> Option<&'t str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
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
mod tests;
