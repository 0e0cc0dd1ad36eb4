//! Chunks become an answer: pure.

use shared::text::CleanText;

use super::wire::{Chunk, Usage};
use super::{Answer, CONTENT_FILTER, LENGTH, MAX_ANSWER_BYTES, ModelError};

/// What has come of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    text: String,
    refusal: String,
    finish_reason: String,
    usage: Usage,
}

impl Assembly {
    /// Takes one chunk that is no error.
    pub(super) fn add(&mut self, chunk: Chunk) -> Result<(), ModelError> {
        if let Some(reported) = chunk.usage {
            self.usage.prompt_tokens = reported.prompt_tokens.or(self.usage.prompt_tokens);
            self.usage.completion_tokens = reported.completion_tokens.or(self.usage.completion_tokens);
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            let delta = choice.delta.unwrap_or_default();
            self.text.push_str(&delta.content.unwrap_or_default());
            self.refusal.push_str(&delta.refusal.unwrap_or_default());
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish_reason = CleanText::new(&reason, 64).into_string();
            }
        }
        if self.text.len() + self.refusal.len() > MAX_ANSWER_BYTES {
            return Err(ModelError::TooLong);
        }
        Ok(())
    }

    /// The answer, once the stream is over; `done` says that the server called it whole.
    pub(super) fn answer(self, done: bool) -> Result<Answer, ModelError> {
        if !done && self.finish_reason.is_empty() {
            return Err(ModelError::Unavailable("its stream was cut in the middle".to_owned()));
        }
        if !self.refusal.trim().is_empty() {
            return Err(ModelError::Refused(self.refusal));
        }
        // An answer that was cut before its first word is still one: whoever judges it says what was used up.
        if self.text.trim().is_empty() && self.finish_reason != LENGTH {
            return Err(if self.finish_reason == CONTENT_FILTER {
                ModelError::Refused("a content filter stopped it".to_owned())
            } else {
                ModelError::Unusable(format!("it is empty (finish reason {:?})", self.finish_reason))
            });
        }
        Ok(Answer {
            text: CleanText::new(&self.text, MAX_ANSWER_BYTES),
            finish_reason: self.finish_reason,
            input_tokens: self.usage.prompt_tokens.unwrap_or(0).max(0),
            output_tokens: self.usage.completion_tokens.unwrap_or(0).max(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(chunks: &[&str], done: bool) -> Result<Answer, ModelError> {
        let mut assembly = Assembly::default();
        for chunk in chunks {
            assembly.add(serde_json::from_str(chunk).expect("a chunk"))?;
        }
        assembly.answer(done)
    }

    #[test]
    fn odd_chunks_of_compatible_servers_are_taken() {
        let answer = assembled(
            &[
                r#"{"choices":[{"delta":{"content":"He"},"finish_reason":""}],"usage":{}}"#,
                r#"{"choices":[{"delta":{"content":"y"}}]}"#,
                r#"{"choices":[{"finish_reason":"stop"}]}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            ],
            true,
        );
        let expected = Answer {
            text: CleanText::new("Hey", 9),
            finish_reason: "stop".to_owned(),
            input_tokens: 3,
            output_tokens: 2,
        };
        assert_eq!(answer.expect("an answer"), expected);
    }

    #[test]
    fn no_answer_is_told_apart() {
        let code = |chunks: &[&str], done| assembled(chunks, done).expect_err("no answer").code().as_str();
        let (said, filtered) = (
            r#"{"choices":[{"delta":{"content":"He"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
        );
        assert_eq!(code(&[said], false), "model_unavailable");
        assert_eq!(code(&[], true), "model_error");
        assert_eq!(code(&[filtered], true), "model_refused");
        assert_eq!(code(&[r#"{"choices":[{"delta":{"refusal":"I will not."}}]}"#], true), "model_refused");
        assert_eq!(code(&[said, r#"{"choices":[{"delta":{"refusal":"No."}}]}"#], true), "model_refused");
        let cut = assembled(&[r#"{"choices":[{"finish_reason":"length"}]}"#], true).expect("a cut answer");
        assert_eq!((&*cut.text, cut.finish_reason.as_str()), ("", LENGTH));
        assert_eq!(assembled(&[said, filtered], true).expect("a cut answer").finish_reason, CONTENT_FILTER);
    }
}
