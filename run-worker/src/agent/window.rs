//! Fits a long conversation into the model's context window: shortens results of tools, oldest first, until
//! the conversation fits. The log keeps them whole. The same conversation is always shortened in the same
//! way. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::model::{Message, estimated_tokens};

/// A shortened result keeps this many bytes.
const KEPT: usize = 400;
/// Share of the window that stays free, because tokens are only estimated.
const MARGIN: f64 = 0.1;
/// This part of the window is reserved for the answer if the operator does not set max_output_tokens: a
/// quarter.
const ANSWER_PART: u32 = 4;

/// The conversation that is sent.
pub(super) struct Fitted<'m> {
    pub(super) messages: Cow<'m, [Message]>,
    /// An estimate.
    pub(super) tokens: i64,
    /// The most tokens of the answer, if the operator limits them.
    pub(super) answer: Option<u32>,
}

/// Shortens the conversation so that it fits into `window` tokens with an answer of `most` tokens. If all
/// results are short and it still does not fit, it stays too long.
pub(super) fn fit(messages: &[Message], window: Option<u32>, most: Option<u32>) -> Fitted<'_> {
    let mut sum = messages.iter().map(tokens).sum();
    let Some(window) = window else {
        return Fitted { messages: Cow::Borrowed(messages), tokens: sum, answer: most };
    };
    let answer = most.unwrap_or(window / ANSWER_PART).min(window / 2);
    #[expect(clippy::cast_possible_truncation, reason = "less than the window")]
    let room = (f64::from(window - answer) * (1.0 - MARGIN)) as i64;
    if sum <= room {
        return Fitted { messages: Cow::Borrowed(messages), tokens: sum, answer: Some(answer) };
    }
    let mut fitted = messages.to_vec();
    // The model needs the results of the last step most, so they are shortened last.
    let last_step = messages.iter().rposition(|message| matches!(message, Message::Assistant { .. }));
    let (older, newest) = fitted.split_at_mut(last_step.unwrap_or(0));
    for message in older.iter_mut().chain(newest) {
        if sum <= room {
            break;
        }
        let before = tokens(message);
        if let Message::Tool { content, .. } = message {
            shorten(content);
        }
        sum += tokens(message) - before;
    }
    Fitted { messages: Cow::Owned(fitted), tokens: sum, answer: Some(answer) }
}

fn tokens(message: &Message) -> i64 {
    estimated_tokens(message.bytes())
}

fn shorten(content: &mut String) {
    let whole = content.len();
    let kept = content.floor_char_boundary(KEPT);
    if whole > KEPT * 2 {
        content.truncate(kept);
        let _ = write!(
            content,
            "\n[shortened from {whole} bytes to make room; call the tool again if the rest is needed]"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        let answer = || Message::Assistant { text: String::new(), reasoning: None, calls: vec![] };
        let result = |fill: &str| Message::Tool { call: "c".to_owned(), content: fill.repeat(4000) };
        vec![
            Message::User { text: "go".to_owned(), pictures: vec![] },
            answer(),
            result("a"),
            answer(),
            result("é"),
            answer(),
            result("c"),
        ]
    }

    fn lengths(window: u32) -> Vec<usize> {
        fit(&conversation(), Some(window), Some(100)).messages.iter().map(Message::bytes).collect()
    }

    #[test]
    fn the_oldest_results_are_shortened_first_and_only_as_needed() {
        let short = |length: usize| length > KEPT && length < KEPT + 100;
        assert_eq!(lengths(10_000), [2, 0, 4000, 0, 8000, 0, 4000]);
        assert!(matches!(fit(&conversation(), None, None).messages, Cow::Borrowed(_)));
        assert_eq!(fit(&conversation(), Some(8000), None).answer, Some(2000));
        let [_, _, first, _, second, _, last] = lengths(4_000)[..] else { panic!("all messages stay") };
        assert!(short(first) && second == 8000 && last == 4000);
        let [_, _, first, _, second, _, last] = lengths(2_000)[..] else { panic!("all messages stay") };
        assert!(short(first) && short(second) && last == 4000);
        let [_, _, first, _, second, _, last] = lengths(300)[..] else { panic!("all messages stay") };
        assert!(short(first) && short(second) && short(last));
    }
}
