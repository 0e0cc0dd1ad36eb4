//! Assembles an answer from the chunks of a stream: pure.

use serde_json::{Map, Value, json};
use shared::text::{CleanText, check_json};

use super::calls::Calls;
use super::wire::{Chunk, Delta, text_of};
use super::{Answer, CONTENT_FILTER, Counted, LENGTH, MAX_ANSWER_BYTES, ModelError, OVERSIZED};

/// A server's count is cut to this many tokens, so that sums stay within a bigint.
const MAX_TOKENS: i64 = 1_000_000_000;

/// The part of an answer that has arrived.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    text: String,
    refusal: String,
    reasoning_content: String,
    reasoning: String,
    reasoning_details: Vec<Value>,
    calls: Calls,
    finish_reason: String,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    /// The length of all texts above.
    bytes: usize,
}

impl Assembly {
    /// Adds one chunk that is not an error. Returns false if the answer is too long and reading must stop.
    pub(super) fn add(&mut self, chunk: Chunk) -> Result<bool, ModelError> {
        self.input_tokens = chunk.tokens("prompt_tokens").or(self.input_tokens);
        self.output_tokens = chunk.tokens("completion_tokens").or(self.output_tokens);
        if let Some(choice) = chunk.choices.into_iter().flatten().flatten().next() {
            self.add_delta(choice.delta.unwrap_or_default())?;
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish_reason = CleanText::new(&reason, 64).into_string();
            }
        }
        if self.bytes <= MAX_ANSWER_BYTES {
            return Ok(true);
        }
        OVERSIZED.clone_into(&mut self.finish_reason);
        Ok(false)
    }

    fn add_delta(&mut self, delta: Delta) -> Result<(), ModelError> {
        let texts = [
            (&mut self.text, delta.content.map(text_of)),
            (&mut self.refusal, delta.refusal),
            (&mut self.reasoning_content, delta.reasoning_content),
            (&mut self.reasoning, delta.reasoning.map(text_of)),
        ];
        for (sum, more) in texts {
            let more = more.unwrap_or_default();
            self.bytes += more.len();
            sum.push_str(&more);
        }
        for block in delta.reasoning_details.into_iter().flatten().filter(|block| check_json(block).is_ok()) {
            self.bytes += block.to_string().len();
            self.reasoning_details.push(block);
        }
        for piece in delta.tool_calls.into_iter().flatten().flatten() {
            let added = self.calls.add(piece);
            self.bytes += added
                .map_err(|_| ModelError::Unusable("it requests too many tool calls at once".to_owned()))?;
        }
        Ok(())
    }

    /// The text so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The answer at the end of the stream. `done` says that the server sent its end marker.
    pub(super) fn answer(mut self, done: bool) -> Result<Answer, ModelError> {
        if !done && self.finish_reason.is_empty() {
            return Err(ModelError::unavailable("its stream ended in the middle of an answer"));
        }
        if !self.refusal.trim().is_empty() {
            return Err(ModelError::Refused(self.refusal));
        }
        // An answer that was cut before its first word is returned: its finish reason names the exceeded
        // limit.
        let cut = [LENGTH, OVERSIZED].contains(&self.finish_reason.as_str());
        if self.text.trim().is_empty() && self.calls.is_empty() && !cut {
            return Err(if self.finish_reason == CONTENT_FILTER {
                ModelError::Refused("a content filter stopped it".to_owned())
            } else {
                ModelError::Unusable(format!("it is empty (finish reason {:?})", self.finish_reason))
            });
        }
        let counted = self.input_tokens.zip(self.output_tokens);
        Ok(Answer {
            text: CleanText::new(&self.text, MAX_ANSWER_BYTES),
            reasoning: self.take_reasoning(),
            calls: self.calls.finish(),
            finish_reason: self.finish_reason,
            usage: counted.map(|(input, output)| Counted {
                input: input.clamp(0, MAX_TOKENS),
                output: output.clamp(0, MAX_TOKENS),
            }),
        })
    }

    /// The server's own fields, under its own names.
    fn take_reasoning(&mut self) -> Option<Value> {
        let mut fields = Map::new();
        for (name, text) in [("reasoning_content", &self.reasoning_content), ("reasoning", &self.reasoning)] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), json!(CleanText::new(text, MAX_ANSWER_BYTES)));
            }
        }
        if !self.reasoning_details.is_empty() {
            fields.insert("reasoning_details".to_owned(), std::mem::take(&mut self.reasoning_details).into());
        }
        (!fields.is_empty()).then_some(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(chunks: &[&str], done: bool) -> Result<Answer, ModelError> {
        let mut assembly = Assembly::default();
        for chunk in chunks {
            if !assembly.add(serde_json::from_str(chunk).expect("a chunk"))? {
                break;
            }
        }
        assembly.answer(done)
    }

    #[test]
    fn unusual_chunks_of_compatible_servers_are_accepted() {
        let answer = assembled(
            &[
                r#"{"choices":[{"delta":{"content":"He","reasoning_content":"Hm"},"finish_reason":""}],
                    "usage":{}}"#,
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"y"}],"tool_calls":null}}]}"#,
                r#"{"choices":[{"delta":{"reasoning_details":[{"signature":"s"},{"bad":"\u0000"}]},
                    "finish_reason":"stop"}]}"#,
                r#"{"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            ],
            true,
        );
        let expected = Answer {
            text: CleanText::new("Hey", 9),
            reasoning: Some(json!({"reasoning_content": "Hm", "reasoning_details": [{"signature": "s"}]})),
            calls: vec![],
            finish_reason: "stop".to_owned(),
            usage: Some(Counted { input: 3, output: 2 }),
        };
        assert_eq!(answer.expect("an answer"), expected);
        let uncounted = assembled(&[r#"{"choices":[{"delta":{"content":"x"}}],"usage":{}}"#], true);
        assert_eq!(uncounted.expect("an answer").usage, None);
    }

    #[test]
    fn each_missing_answer_has_its_code() {
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

    #[test]
    fn an_endless_answer_is_cut_and_kept() {
        let part = json!({"choices": [{"delta": {"content": "x".repeat(1 << 19)}}]}).to_string();
        let answer = assembled(&[&part, &part, &part, &part], false).expect("a cut answer");
        assert_eq!((answer.text.len(), answer.finish_reason.as_str()), (MAX_ANSWER_BYTES, OVERSIZED));
    }
}
