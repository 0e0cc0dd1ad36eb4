//! Title and words of an HTML page, for the index. The model reads the page itself with `fetch_url`, which
//! keeps links and structure.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, CharacterTokens, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult, Tokenizer,
    TokenizerOpts, states,
};

/// Elements without words that a person reads. The tokenizer reads their content as raw text.
const RAW: [&str; 3] = ["script", "style", "noscript"];

#[derive(Default)]
struct PageWords {
    title: String,
    text: String,
    /// The raw element or the title that is open.
    within: Option<String>,
}

struct WordReader(RefCell<PageWords>);

impl TokenSink for WordReader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut words = self.0.borrow_mut();
        match token {
            CharacterTokens(characters) => match words.within.as_deref() {
                Some("title") => words.title.push_str(&characters),
                Some(_) => {}
                None => words.text.push_str(&characters),
            },
            TagToken(tag) => return words.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl PageWords {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let (is_raw, is_title) = (RAW.contains(&name), name == "title");
        if tag.kind != StartTag {
            if self.within.as_deref() == Some(name) {
                self.within = None;
            }
        } else if is_raw || (is_title && self.title.is_empty()) {
            self.within = Some(name.to_owned());
        }
        // Two words with a tag between them are not one word.
        self.text.push(' ');
        match (tag.kind == StartTag, is_raw, is_title) {
            (true, true, _) => TokenSinkResult::RawData(states::Rawtext),
            (true, _, true) => TokenSinkResult::RawData(states::Rcdata),
            _ => TokenSinkResult::Continue,
        }
    }
}

/// The caller bounds the length of the page.
pub(super) fn title_and_text(page: &str) -> (String, String) {
    let tokenizer = Tokenizer::new(WordReader(RefCell::default()), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(page));
    // The tokenizer pauses at the end of a script, so that a browser can run it.
    while !input.is_empty() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    let PageWords { title, text, .. } = tokenizer.sink.0.into_inner();
    (title.trim().to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_without_tags_and_scripts() {
        let page = "<head><title> A &amp; B </title><style>p{}</style><script>let x = '<p>';</script></head>\
                    <h1>One</h1><p>Two<br>three &lt;four";
        let (title, text) = title_and_text(page);
        assert_eq!(title, "A & B");
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["One", "Two", "three", "<four"]);
    }
}
