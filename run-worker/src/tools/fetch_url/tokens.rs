//! Runs the HTML tokenizer over a text, for a bounded time. No tree is built: for a hostile page with a
//! hundred thousand nested elements, a tree takes quadratic time.

use std::time::{Duration, Instant};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, TokenSink, Tokenizer, TokenizerOpts};

/// The tokenizer gets this many bytes at once, until `MAX_TIME` is over: a tag with a million attributes
/// takes quadratic time.
const PIECE: usize = 4 * 1024;
pub(super) const MAX_TIME: Duration = Duration::from_secs(3);

/// Gives the tokens to the sink until it is full. Returns the sink, and whether it got all tokens.
pub(super) fn give_tokens<S: TokenSink>(text: &str, sink: S, is_full: impl Fn(&S) -> bool) -> (S, bool) {
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let (begun, mut rest) = (Instant::now(), text);
    while !rest.is_empty() && begun.elapsed() < MAX_TIME && !is_full(&tokenizer.sink) {
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
    (tokenizer.sink, rest.is_empty())
}
