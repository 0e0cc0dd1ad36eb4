//! Splits texts into words for the index. Chinese and Japanese write no spaces: there each sign counts as a
//! word.

use tantivy::tokenizer::{LowerCaser, RemoveLongFilter, TextAnalyzer, Token, TokenStream, Tokenizer};

/// The name of the analyzer in the index.
pub(super) const WORDS: &str = "words";
/// Bytes of a word. A longer one is no word.
const MAX_WORD: usize = 60;

pub(super) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(Words).filter(RemoveLongFilter::limit(MAX_WORD)).filter(LowerCaser).build()
}

#[derive(Debug, Clone)]
struct Words;

struct WordStream<'t> {
    text: &'t str,
    at: usize,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'t> = WordStream<'t>;

    fn token_stream<'t>(&'t mut self, text: &'t str) -> WordStream<'t> {
        WordStream { text, at: 0, token: Token::default() }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((from, to)) = next_word(self.text, self.at) else { return false };
        self.at = to;
        self.token.position = self.token.position.wrapping_add(1);
        (self.token.offset_from, self.token.offset_to) = (from, to);
        self.token.text.clear();
        self.token.text.push_str(&self.text[from..to]);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Where the next word begins and ends.
fn next_word(text: &str, at: usize) -> Option<(usize, usize)> {
    let begin = at + text[at..].find(char::is_alphanumeric)?;
    let rest = &text[begin..];
    let first = rest.chars().next()?;
    if is_word_alone(first) {
        return Some((begin, begin + first.len_utf8()));
    }
    let length = rest.find(|c: char| !c.is_alphanumeric() || is_word_alone(c)).unwrap_or(rest.len());
    Some((begin, begin + length))
}

/// Kana, and Han signs.
const fn is_word_alone(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_found() {
        let words = |text: &str| {
            let (mut analyzer, mut words) = (analyzer(), Vec::new());
            analyzer.token_stream(text).process(&mut |token| words.push(token.text.clone()));
            words
        };
        assert_eq!(words("Solar-power, 2026: É!"), ["solar", "power", "2026", "é"]);
        assert_eq!(words("東京のAI 2つ"), ["東", "京", "の", "ai", "2", "つ"]);
        assert_eq!(words(&format!("a {} b", "x".repeat(100))), ["a", "b"]);
        assert!(words("… — !").is_empty());
    }
}
