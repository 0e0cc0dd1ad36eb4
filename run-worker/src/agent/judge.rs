//! What the model's last word is worth: the result, an error that keeps it, or one more turn to mend it. Pure.

use serde_json::Value;
use shared::output_schema::OutputSchema;
use shared::runs::{ErrorCode, RunError, RunResult};
use shared::text::check_json;

use crate::model::{CONTENT_FILTER, LENGTH, MAX_ANSWER_BYTES, OVERSIZED};

/// What is to become of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is the result.
    Done(RunResult),
    /// It does not match the schema: what is wrong with it.
    Mismatch(String),
}

/// Why an answer that was broken off is no result.
pub(super) fn broken_off(finish_reason: &str, step: i32) -> RunError {
    let (code, what) = match finish_reason {
        LENGTH => (
            ErrorCode::TokenLimitExceeded,
            "the model's answer was cut at its length limit; raise the model's max_output_tokens or limits.tokens"
                .to_owned(),
        ),
        OVERSIZED => (
            ErrorCode::OutputLimitExceeded,
            format!("the model's answer is longer than {MAX_ANSWER_BYTES} bytes"),
        ),
        CONTENT_FILTER => (
            ErrorCode::ModelRefused,
            "the model's content filter cut the answer; change the inputs or the app's instructions".to_owned(),
        ),
        _ => (ErrorCode::ModelError, "the model's server broke the answer off".to_owned()),
    };
    RunError::new(code, &format!("step {step}: {what}"), Some(step))
}

/// A whole answer, against the app's schema where there is one.
pub(super) fn judge(text: &str, schema: Option<&OutputSchema>) -> Verdict {
    let result = |data| RunResult { text: text.to_owned(), data, partial: false };
    let Some(schema) = schema else { return Verdict::Done(result(None)) };
    let data = match parse(text) {
        Ok(data) => data,
        Err(why) => return Verdict::Mismatch(why),
    };
    let mistakes = schema.mistakes(&data);
    if mistakes.is_empty() {
        Verdict::Done(result(Some(data)))
    } else {
        Verdict::Mismatch(mistakes.join("; "))
    }
}

/// The JSON of an answer, whole or in a Markdown fence, as PostgreSQL can store it.
fn parse(text: &str) -> Result<Value, String> {
    let data: Value = serde_json::from_str(text.trim())
        .or_else(|error| fenced(text).map_or(Err(error), serde_json::from_str))
        .map_err(|error| format!("the answer is not JSON: {error}"))?;
    check_json(&data).map_err(|refusal| refusal.to_string())?;
    Ok(data)
}

/// What stands between the first ``` line and the next.
fn fenced(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("```")?;
    let (_, body) = behind.split_once('\n')?;
    body.split_once("```").map(|(body, _)| body.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_parsed_and_judged() {
        let schema = OutputSchema::compile(&json!({"type": "object", "required": ["n"]})).unwrap();
        let judged = |text: &str| match judge(text, Some(&schema)) {
            Verdict::Done(result) => Ok(result.data.unwrap()),
            Verdict::Mismatch(why) => Err(why),
        };
        for text in [r#" {"n":1} "#, "```json\n{\"n\":1}\n```", "Here you are:\n```\n{\"n\":1}\n```\nBye."] {
            assert_eq!(judged(text), Ok(json!({"n": 1})), "{text}");
        }
        for (text, why) in [
            ("{}", "required"),
            ("It is 1.", "not JSON"),
            ("```json {", "not JSON"),
            (r#"{"n":"\u0000"}"#, "U+0000"),
            (r#"{"n":"\ud800"}"#, "not JSON"),
            (r#"{"n":1e999}"#, "not JSON"),
        ] {
            assert!(judged(text).unwrap_err().contains(why), "{text}");
        }
        let plain = RunResult { text: "It is 1.".to_owned(), ..RunResult::default() };
        assert_eq!(judge("It is 1.", None), Verdict::Done(plain));
    }

    #[test]
    fn what_was_broken_off_is_told_apart() {
        let code = |reason| broken_off(reason, 2).code.as_str();
        assert_eq!(
            ["length", "oversized", "content_filter", "abort"].map(code),
            ["token_limit_exceeded", "output_limit_exceeded", "model_refused", "model_error"]
        );
    }
}
