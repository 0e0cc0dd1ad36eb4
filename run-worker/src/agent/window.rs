//! Fits a long conversation into the model's context window: shortens older results of tools, leaves out
//! older pictures that tools showed, then shortens arguments of older calls, then the newest results, until
//! the conversation fits. The log keeps them whole. The same
//! conversation in the same room is always shortened in the same way. What refusals teach is not in the log:
//! after a takeover a long request may be refused and shortened once more. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use model_client::Message;
use serde_json::json;

use super::pictures::leave_out;

/// A shortened result keeps this many bytes.
const KEPT: usize = 400;
/// Share of the window that stays free, because tokens are only estimated.
const MARGIN: f64 = 0.1;
/// This part of the window is reserved for the answer if the operator does not set max_output_tokens: a
/// quarter.
const ANSWER_PART: u32 = 4;
/// Shortening frees a multiple of this part of the room. So the same results stay short over several steps,
/// and the server's prompt cache keeps the beginning of the conversation.
const STEP_PART: i64 = 4;

/// Estimates the tokens of a request from its bytes and from the server's own counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// The tokens and bytes of the last request that the server counted.
    counted: Option<(i64, i64)>,
    per_byte: f64,
}

/// Tokens for each byte before the server has counted a request, and the least that is expected later.
const USUAL_PER_BYTE: f64 = 0.25;
/// Fewer bytes say little about the text that follows: most of them are marks around a message.
const LEAST_ADDED: i64 = 2048;
/// No text has more tokens than bytes.
const MAX_PER_BYTE: f64 = 1.0;

impl Default for Estimate {
    fn default() -> Self {
        Self { counted: None, per_byte: USUAL_PER_BYTE }
    }
}

impl Estimate {
    /// Learns from a request that the server counted.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn with_count(self, tokens: i64, bytes: i64) -> Self {
        if tokens <= 0 || bytes <= 0 {
            return self;
        }
        let whole = tokens as f64 / bytes as f64;
        // The bytes since the last count may hold more tokens than the rest: digits, or Chinese.
        let added = self
            .counted
            .filter(|(_, before)| bytes - before >= LEAST_ADDED)
            .map(|(counted, before)| (tokens - counted) as f64 / (bytes - before) as f64);
        let per_byte = added.map_or(whole, |added| added.max(whole));
        Self { counted: Some((tokens, bytes)), per_byte: per_byte.clamp(USUAL_PER_BYTE, MAX_PER_BYTE) }
    }

    /// The tokens of so many bytes more.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    pub(super) fn added(self, bytes: usize) -> u64 {
        ((bytes as f64 * self.per_byte).ceil() as i64).max(0).cast_unsigned()
    }

    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    pub(super) fn tokens(self, bytes: usize) -> i64 {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let (counted, before) = self.counted.unwrap_or_default();
        let more = (bytes - before) as f64 * self.per_byte;
        counted.saturating_add(more.ceil() as i64).max(0)
    }
}

/// The limits that a conversation must keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) window: Option<u32>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) returns_reasoning: bool,
    /// Bytes of the tools and the schema.
    pub(super) overhead: usize,
    pub(super) estimate: Estimate,
    /// The most tokens of the request, after a server refused a longer one.
    pub(super) most: Option<i64>,
}

/// The conversation that is sent.
pub(super) struct Fitted<'m> {
    pub(super) messages: Cow<'m, [Message]>,
    /// With tools and schema.
    pub(super) bytes: usize,
    /// An estimate.
    pub(super) tokens: i64,
    /// The most tokens of the answer, if the operator limits them.
    pub(super) answer: Option<u32>,
}

/// Shortens the conversation so that it fits into the room with an answer. If all results are short and it
/// still does not fit, it stays too long.
pub(super) fn fit<'m>(messages: &'m [Message], room: &Room) -> Fitted<'m> {
    let sent = messages.iter().map(|message| message.bytes_sent(room.returns_reasoning));
    let bytes = room.overhead + sent.sum::<usize>();
    let tokens = room.estimate.tokens(bytes);
    let answer = room.max_output_tokens.map(|most| room.window.map_or(most, |window| most.min(window / 2)));
    let whole = Fitted { messages: Cow::Borrowed(messages), bytes, tokens, answer };
    let by_window = room.window.map(|window| {
        let reserved = answer.unwrap_or(window / ANSWER_PART);
        #[expect(clippy::cast_possible_truncation, reason = "less than the window")]
        let most = (f64::from(window - reserved) * (1.0 - MARGIN)) as i64;
        most
    });
    let Some(most) = by_window.into_iter().chain(room.most).min().filter(|most| tokens > *most) else {
        return whole;
    };
    let step = (most / STEP_PART).max(1);
    let steps = (tokens - most + step - 1) / step;
    let target = tokens - steps.saturating_mul(step);
    let mut fitted = Shortened { messages: messages.to_vec(), bytes };
    // The model needs the results of the last step most, so they are shortened last, and only as needed.
    let last_step = messages.iter().rposition(|message| matches!(message, Message::Assistant { .. }));
    let last_step = last_step.unwrap_or(0);
    fitted.shorten(0..last_step, shorten_result, |bytes| room.estimate.tokens(bytes) <= target);
    // Those of the prompt stay.
    let first_answer = messages.iter().position(|message| matches!(message, Message::Assistant { .. }));
    let first_answer = first_answer.unwrap_or(messages.len());
    let older = first_answer..last_step.max(first_answer);
    fitted.shorten(older, leave_out, |bytes| room.estimate.tokens(bytes) <= target);
    fitted.shorten(0..last_step, shorten_arguments, |bytes| room.estimate.tokens(bytes) <= target);
    fitted.shorten(last_step..messages.len(), shorten_result, |bytes| room.estimate.tokens(bytes) <= most);
    let newest = last_step.max(first_answer)..messages.len();
    fitted.shorten(newest, leave_out, |bytes| room.estimate.tokens(bytes) <= most);
    let Shortened { messages, bytes } = fitted;
    Fitted { messages: Cow::Owned(messages), bytes, tokens: room.estimate.tokens(bytes), answer }
}

struct Shortened {
    messages: Vec<Message>,
    bytes: usize,
}

impl Shortened {
    /// Shortens messages in this range, oldest first, until the conversation fits.
    fn shorten(&mut self, range: Range<usize>, by: impl Fn(&mut Message), fits: impl Fn(usize) -> bool) {
        for message in &mut self.messages[range] {
            if fits(self.bytes) {
                return;
            }
            let before = message.bytes();
            by(message);
            self.bytes = self.bytes + message.bytes() - before;
        }
    }
}

fn shorten_result(message: &mut Message) {
    if let Message::Tool { content, .. } = message {
        shorten(content);
    }
}

/// What a call wrote, for example a file, is in the workspace. The model reads it again if it must.
fn shorten_arguments(message: &mut Message) {
    let Message::Assistant { calls, .. } = message else { return };
    for call in calls.iter_mut().filter(|call| call.arguments.len() > KEPT * 2) {
        let left_out = format!("[{} bytes of arguments were left out to make room]", call.arguments.len());
        call.arguments = json!({"shortened": left_out}).to_string();
    }
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
mod tests;
