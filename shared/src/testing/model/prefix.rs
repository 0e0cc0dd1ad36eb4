//! What the prompt cache of a server holds of a request. A cache finds the beginning of a request that is,
//! byte for byte, the beginning of an earlier one. One with breakpoints holds only what ends at a breakpoint
//! of an earlier request, and finds it only if it ends near a breakpoint of the new one.

use serde_json::Value;

/// The measure counts four bytes as a token.
const BYTES_PER_TOKEN: usize = 4;
/// How many blocks before each of its breakpoints Anthropic's cache looks for a beginning that it holds.
const LOOKBACK_BLOCKS: usize = 20;

/// A part of a request, in the order in which the model reads it.
pub(super) struct Block {
    pub(super) text: String,
    pub(super) is_breakpoint: bool,
}

impl Block {
    pub(super) fn of(value: &Value) -> Self {
        Self { text: format!("{value}\n"), is_breakpoint: false }
    }
}

/// A request that a step with `"usage": "measured"` answers.
#[derive(Debug, Clone)]
pub struct MeasuredRequest {
    pub model: String,
    pub prompt: String,
    /// How many answers the conversation has.
    pub answers: usize,
    /// The tools, the instructions and the messages, as the cache sees them. Breakpoints move with the
    /// conversation and are no part of it.
    pub text: String,
    pub input_tokens: i64,
    /// Those of the input that the cache held.
    pub cached_tokens: i64,
    ends: Vec<End>,
}

/// Where a block ends in the text.
#[derive(Debug, Clone, Copy)]
struct End {
    at: usize,
    is_breakpoint: bool,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// With the cached ones.
    pub(super) input: i64,
    pub(super) cached: i64,
    /// What breakpoints add to the cache.
    pub(super) written: i64,
}

impl MeasuredRequest {
    pub(super) fn new(model: &str, prompt: &str, answers: usize, blocks: &[Block]) -> Self {
        let mut text = String::new();
        let mut ends = Vec::new();
        for block in blocks {
            text.push_str(&block.text);
            ends.push(End { at: text.len(), is_breakpoint: block.is_breakpoint });
        }
        let (model, prompt) = (model.to_owned(), prompt.to_owned());
        let input_tokens = tokens(text.len());
        Self { model, prompt, answers, text, input_tokens, cached_tokens: 0, ends }
    }

    /// Counts what the cache holds after these requests.
    pub(super) fn measure(&mut self, earlier: &[Self], has_breakpoints: bool) -> Measure {
        let of_same_run = earlier.iter().filter(|it| it.model == self.model && it.prompt == self.prompt);
        let held = of_same_run.map(|it| {
            let same = it.text.bytes().zip(self.text.bytes()).take_while(|(left, right)| left == right);
            let same = same.count();
            if has_breakpoints { self.found(it, same) } else { same }
        });
        self.cached_tokens = tokens(held.max().unwrap_or(0));
        let last = self.ends.iter().rfind(|end| end.is_breakpoint).map_or(0, |end| end.at);
        let written = (tokens(last) - self.cached_tokens).max(0);
        Measure { input: self.input_tokens, cached: self.cached_tokens, written }
    }

    /// The longest beginning that ends at a breakpoint of the earlier request and that this one finds.
    /// `same` bytes at the beginning are equal.
    fn found(&self, earlier: &Self, same: usize) -> usize {
        let written = earlier.ends.iter().filter(|end| end.is_breakpoint && end.at <= same);
        let is_found = |at: usize| {
            let before = self.ends.iter().take_while(|end| end.at < at).count();
            let is_near = |(number, end): (usize, &End)| {
                end.is_breakpoint && (before..before + LOOKBACK_BLOCKS).contains(&number)
            };
            self.ends.iter().enumerate().any(is_near)
        };
        written.map(|end| end.at).filter(|at| is_found(*at)).max().unwrap_or(0)
    }
}

fn tokens(bytes: usize) -> i64 {
    i64::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of blocks of 40 bytes, each named by a letter. Capitals end in breakpoints.
    fn request(blocks: &str) -> MeasuredRequest {
        let block = |name: char| Block {
            text: name.to_lowercase().to_string().repeat(40),
            is_breakpoint: name.is_uppercase(),
        };
        MeasuredRequest::new("m", "p", 0, &blocks.chars().map(block).collect::<Vec<_>>())
    }

    fn measured(earlier: &[&str], blocks: &str, has_breakpoints: bool) -> [i64; 3] {
        let earlier: Vec<_> = earlier.iter().map(|blocks| request(blocks)).collect();
        let Measure { input, cached, written } = request(blocks).measure(&earlier, has_breakpoints);
        [input, cached, written]
    }

    #[test]
    fn a_cache_holds_the_common_beginning() {
        assert_eq!(measured(&[], "abc", false), [30, 0, 0]);
        assert_eq!(measured(&["ab", "x"], "abc", false), [30, 20, 0]);
        assert_eq!(measured(&["xbc"], "abc", false), [30, 0, 0]);
        let mut other = request("abc");
        other.prompt.push('x');
        assert_eq!(request("abc").measure(&[other], false).cached, 0);
    }

    #[test]
    fn breakpoints_decide_what_is_held_and_found() {
        assert_eq!(measured(&["ab"], "abC", true), [30, 0, 30]);
        assert_eq!(measured(&["aB"], "abcD", true), [40, 20, 20]);
        assert_eq!(measured(&["aBx"], "abcd", true), [40, 0, 0]);
        assert_eq!(measured(&["Ab", "aB"], "AbC", true), [30, 20, 10]);
        let far = format!("ab{}D", "c".repeat(19));
        assert_eq!(measured(&["aB"], &far, true)[1], 0, "too many blocks came since");
        assert_eq!(measured(&["aB"], &far.replacen("cD", "D", 1), true)[1], 20);
    }
}
