//! Probes of what every run needs: a plain answer, a stream, instructions, and counted tokens.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::report::Finding;
use super::{ANSWER_TOKENS, Asker, question};
use crate::{Answer, LENGTH, Message, ModelError, Outlet, Request, ToolChoice, Words};

const PLAIN: &str = "Reply with the one word: ready";
/// Its answer has many words, so a stream has several pieces.
const COUNT: &str = "Write the numbers from one to twenty as words.";
const INSTRUCTIONS: &str = "Whatever the question is, reply only with the word pineapple.";
pub(super) const CAPITAL: &str = "What is the capital of France?";
/// The input whose tokens are counted. Servers cache inputs of 1,024 tokens and more.
const COUNTED_BYTES: usize = 8 << 10;
/// With this number, the counted input takes about half of a small window.
const COUNTED_BYTES_PER_TOKEN_OF_WINDOW: usize = 2;
const SENTENCE: &str = "The old lighthouse stands on a rock in front of the small harbour. ";

pub(super) async fn plain(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    let answer = asker.ask(&question(PLAIN), &[], None).await?;
    Ok(if is_empty(&answer) { Finding::unable(why_empty(&answer)) } else { Finding::works("works") })
}

/// Counts the pieces in which a text arrives.
#[derive(Default)]
struct Pieces(AtomicUsize);

impl Outlet for Pieces {
    fn is_watched(&self) -> bool {
        true
    }

    fn send(&self, _: String) {}

    fn heard(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) async fn stream(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    if !asker.file.stream {
        return Ok(Finding::not_tried("stream = false"));
    }
    let (pieces, messages) = (Pieces::default(), question(COUNT));
    let request = Request {
        messages: &messages,
        tools: &[],
        schema: None,
        max_tokens: Some(ANSWER_TOKENS),
        tool_choice: ToolChoice::Auto,
    };
    let answer = asker.client.ask(request, Words::new(&pieces)).await?;
    if !asker.client.settings().stream {
        return Ok(Finding::unable("the server refuses a stream; capi asks for whole answers"));
    }
    Ok(match pieces.0.into_inner() {
        _ if is_empty(&answer) => Finding::unable(why_empty(&answer)),
        0 => Finding::unable("the server sent a whole answer instead of a stream, which is enough for runs"),
        1 => Finding::works("works, but the answer came in one piece"),
        pieces => Finding::works(format!("works, {pieces} pieces")),
    })
}

pub(super) async fn instructions(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    let messages = [Message::System(INSTRUCTIONS.to_owned()), Message::user(CAPITAL.to_owned())];
    let answer = asker.ask(&messages, &[], None).await?;
    if !answer.text.to_lowercase().contains("pineapple") {
        return Ok(Finding::unable("the server takes instructions, but the model did not follow them"));
    }
    let role = asker.client.settings().instructions_role;
    Ok(if role == asker.file.instructions_role {
        Finding::works("works")
    } else {
        Finding::works(format!("works, in the role {:?}", role.as_str()))
    })
}

/// Sends the same request twice, so that the server can use its cache.
pub(super) async fn usage(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    let window = asker.client.window().and_then(|window| usize::try_from(window).ok());
    let most = window.map(|window| window.saturating_mul(COUNTED_BYTES_PER_TOKEN_OF_WINDOW));
    let bytes = most.unwrap_or(COUNTED_BYTES).min(COUNTED_BYTES);
    let messages =
        [Message::System(SENTENCE.repeat(bytes / SENTENCE.len())), Message::user(PLAIN.to_owned())];
    // This request sends max_output_tokens of the file, so that the server can refuse a value that is too
    // large.
    let max_tokens = if asker.file.max_output_tokens.is_some() { None } else { Some(ANSWER_TOKENS) };
    let request =
        Request { messages: &messages, tools: &[], schema: None, max_tokens, tool_choice: ToolChoice::Auto };
    asker.client.ask(request, Words::new(&super::Unheard)).await?;
    let second = asker.client.ask(request, Words::new(&super::Unheard)).await?;
    let Some(counted) = second.usage else {
        return Ok(Finding::unable("the server counts no tokens; capi estimates them"));
    };
    let cached = match counted.cached_input.unwrap_or(0) {
        0 => "none of them cached".to_owned(),
        cached => format!("{cached} of them cached"),
    };
    Ok(Finding::works(format!("works: {} tokens in, {cached}; {} out", counted.input, counted.output)))
}

pub(super) fn is_empty(answer: &Answer) -> bool {
    answer.text.trim().is_empty()
}

/// Says by the finish reason why an answer has no text.
pub(super) fn why_empty(answer: &Answer) -> String {
    if answer.finish_reason == LENGTH {
        return format!("no text came before its limit of {ANSWER_TOKENS} tokens");
    }
    format!("the answer has no text (finish reason {:?})", answer.finish_reason)
}
