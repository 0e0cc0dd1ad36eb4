//! Probes of inputs that a server may refuse: one that is too long, and a picture.

use super::basics::{is_empty, why_empty};
use super::report::{Finding, Outcome};
use super::{Asker, question};
use crate::{Message, ModelError, Picture, Request, ToolChoice, Words};

/// About seven tokens in 27 bytes.
pub(super) const PHRASE: &str = "the cat sat on the mat and ";
const BYTES_PER_TOKEN: usize = 4;
/// More than this could cost much on a server that takes it.
const LARGEST_WINDOW_TRIED: u32 = 200_000;
/// An input for a window that is not known. Few models that people run themselves have a larger one.
const BYTES_FOR_UNKNOWN_WINDOW: usize = 1_000_000;
/// The probe needs the refusal, not the answer. Some servers demand at least 16.
const TOO_LONG_ANSWER_TOKENS: u32 = 16;
/// A server that counts fewer tokens than the estimate divided by this has cut the input.
const CUT_DIVISOR: usize = 2;
pub(super) const COLOUR: &str = "Which colour has this picture? Answer with one word.";
/// A red PNG of 64 × 64 pixels. Some servers refuse much smaller pictures.
const RED: &str = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3P\
                   QQkAAAgAsetfWiP4FgYrsKZeS0BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBA\
                   QEBAQEDgsqnc8OJg6Ln3AAAAAElFTkSuQmCC";

/// Checks how the server refuses, and which window it names.
pub(super) async fn too_long(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    let known = asker.file.context_window;
    if let Some(window) = known.filter(|window| *window > LARGEST_WINDOW_TRIED) {
        return Ok(Finding::not_tried(format!("an input above a window of {window} tokens may cost much")));
    }
    let bytes = match known.and_then(|window| usize::try_from(window).ok()) {
        Some(window) => window * 3 / 2 * BYTES_PER_TOKEN,
        None => BYTES_FOR_UNKNOWN_WINDOW,
    };
    let tokens = bytes / BYTES_PER_TOKEN;
    let messages = question(&PHRASE.repeat(bytes / PHRASE.len() + 1));
    let max_tokens = Some(TOO_LONG_ANSWER_TOKENS);
    let request =
        Request { messages: &messages, tools: &[], schema: None, max_tokens, tool_choice: ToolChoice::Auto };
    let answer = match asker.client.ask(request, Words::new(&super::Unheard)).await {
        Err(ModelError::ContextLength { window: Some(window), .. }) => {
            let is_new = known.is_none_or(|known| window < known);
            let setting = is_new.then(|| format!("context_window = {window}"));
            return Ok(Finding::works(format!("refused as expected, window {window}")).with(setting));
        }
        Err(ModelError::ContextLength { message, .. }) => {
            return Ok(Finding::works(format!("refused as expected, without its window: {message}")));
        }
        Err(error @ ModelError::Rejected(_)) => {
            let text = format!("in words that capi does not know: {error}");
            return Ok(Finding::new(Outcome::Refused(text)));
        }
        answer => answer?,
    };
    let counted = answer.usage.and_then(|usage| usize::try_from(usage.input).ok());
    Ok(match (counted, known) {
        (Some(counted), _) if counted < tokens / CUT_DIVISOR => Finding::unable(format!(
            "of about {tokens} tokens the server read {counted}: it cuts an input without an error, so set \
             context_window to its window"
        )),
        (_, Some(window)) => Finding::works(format!(
            "not refused: about {tokens} tokens are more than context_window = {window}, so it may be larger"
        )),
        (_, None) => Finding::works(format!("not refused: about {tokens} tokens, so its window is larger")),
    })
}

pub(super) async fn picture(asker: &Asker<'_>) -> Result<Finding, ModelError> {
    if !asker.file.vision {
        return Ok(Finding::not_tried("vision = false"));
    }
    let picture = Picture { media_type: "image/png".to_owned(), base64: RED.into() };
    let messages = [Message::User { text: COLOUR.to_owned(), pictures: vec![picture] }];
    let blind = Some("vision = false".to_owned());
    let answer = match asker.ask(&messages, &[], None).await {
        Err(error @ (ModelError::Rejected(_) | ModelError::Refused(_))) => {
            return Ok(Finding::from(error).with(blind));
        }
        answer => answer?,
    };
    Ok(if answer.text.to_lowercase().contains("red") {
        Finding::works("works")
    } else if is_empty(&answer) {
        Finding::unable(why_empty(&answer))
    } else {
        Finding::unable("the server takes a picture, but the model did not see its colour").with(blind)
    })
}
