//! Checks the model's last answer: it is the result, or it does not match the app's output schema, or it is
//! incomplete. Pure.

use serde_json::Value;
use shared::runs::{ErrorCode, RunError, RunResult};
use shared::text::check_json;

use crate::model::{CONTENT_FILTER, LENGTH, MAX_ANSWER_BYTES, OVERSIZED};

#[derive(Debug, PartialEq)]
pub(super) enum ResultCheck {
    Valid(RunResult),
    /// The answer does not match the schema, and why.
    Mismatch(String),
}

/// The error of an answer that is not whole.
pub(super) fn incomplete(finish_reason: &str, step: i32) -> RunError {
    let (code, what) = match finish_reason {
        LENGTH => (
            ErrorCode::TokenLimitExceeded,
            "the model's answer was cut at its length limit; raise the model's max_output_tokens or \
             limits.tokens"
                .to_owned(),
        ),
        OVERSIZED => (
            ErrorCode::OutputLimitExceeded,
            format!("the model's answer is longer than {MAX_ANSWER_BYTES} bytes"),
        ),
        CONTENT_FILTER => (
            ErrorCode::ModelRefused,
            "the model's content filter cut the answer; change the inputs or the app's instructions"
                .to_owned(),
        ),
        _ => (ErrorCode::ModelError, "the model's server cut the answer".to_owned()),
    };
    RunError::new(code, &format!("step {step}: {what}"), Some(step))
}

impl ResultCheck {
    /// A whole answer of an app without schema.
    pub(super) fn of_text(text: &str) -> Self {
        Self::Valid(RunResult { text: text.to_owned(), ..RunResult::default() })
    }

    /// A whole answer, the JSON in it, and what the app's schema finds wrong with that.
    pub(super) fn of_json(text: &str, data: Value, violations: &[String]) -> Self {
        if violations.is_empty() {
            Self::Valid(RunResult { text: text.to_owned(), data: Some(data), partial: false })
        } else {
            Self::Mismatch(violations.join("; "))
        }
    }
}

/// The JSON of an answer: the whole text, or a Markdown fence in it. PostgreSQL can store it.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let data: Value = serde_json::from_str(text.trim())
        .or_else(|error| fenced(text).map_or(Err(error), serde_json::from_str))
        .map_err(|error| format!("the answer is not JSON: {error}"))?;
    check_json(&data).map_err(|refusal| refusal.to_string())?;
    Ok(data)
}

/// The text between the first line of ``` and the next.
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
    fn an_answer_is_parsed() {
        for text in [r#" {"n":1} "#, "```json\n{\"n\":1}\n```", "Here you are:\n```\n{\"n\":1}\n```\nBye."] {
            assert_eq!(parse(text), Ok(json!({"n": 1})), "{text}");
        }
        for (text, why) in [
            ("It is 1.", "not JSON"),
            ("```json {", "not JSON"),
            (r#"{"n":"\u0000"}"#, "U+0000"),
            (r#"{"n":"\ud800"}"#, "not JSON"),
            (r#"{"n":1e999}"#, "not JSON"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn an_answer_is_a_result_unless_the_schema_finds_something() {
        let plain = RunResult { text: "It is 1.".to_owned(), ..RunResult::default() };
        assert_eq!(ResultCheck::of_text("It is 1."), ResultCheck::Valid(plain));
        let valid = RunResult { text: "1".to_owned(), data: Some(json!(1)), partial: false };
        assert_eq!(ResultCheck::of_json("1", json!(1), &[]), ResultCheck::Valid(valid));
        let wrong = ["a".to_owned(), "b".to_owned()];
        assert_eq!(ResultCheck::of_json("1", json!(1), &wrong), ResultCheck::Mismatch("a; b".to_owned()));
    }

    #[test]
    fn each_finish_reason_of_an_incomplete_answer_has_its_code() {
        let code = |reason| incomplete(reason, 2).code.as_str();
        assert_eq!(
            ["length", "oversized", "content_filter", "abort"].map(code),
            ["token_limit_exceeded", "output_limit_exceeded", "model_refused", "model_error"]
        );
    }
}
