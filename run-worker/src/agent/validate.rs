//! Checks the model's last answer: it is the result, or it does not match the app's output schema, or it is
//! incomplete. Pure.

use model_client::{CONTENT_FILTER, LENGTH, MAX_ANSWER_BYTES, OVERSIZED, REPETITION, WINDOW_FULL, passage};
use serde_json::Value;
use shared::runs::{ErrorCode, RunError, RunResult};
use shared::text::check_json;

#[derive(Debug, PartialEq)]
pub(super) enum ResultCheck {
    Valid(RunResult),
    /// The answer does not match the schema, and why.
    Mismatch(String),
}

/// A passage that a model repeats is quoted up to this many bytes.
const MAX_PASSAGE_BYTES: usize = 60;
/// An answer that was cut at its length limit is a loop if this many bytes at its end repeat one passage.
const LOOP_BYTES: usize = 1 << 10;

/// The error of an answer that is not whole.
pub(super) fn incomplete(finish_reason: &str, text: &str, step: i32) -> RunError {
    let looped =
        passage(text, LOOP_BYTES).map(str::trim).filter(|_| [LENGTH, REPETITION].contains(&finish_reason));
    let (code, what) = match (finish_reason, looped) {
        (REPETITION | LENGTH, Some(passage)) => {
            let shown = &passage[..passage.floor_char_boundary(MAX_PASSAGE_BYTES)];
            let what = format!(
                "the model repeated {shown:?} until its answer was ended; use a larger model, or ask for less"
            );
            (ErrorCode::ModelError, what)
        }
        (LENGTH, None) => (
            ErrorCode::TokenLimitExceeded,
            "the model's answer was cut at its length limit; raise the model's max_output_tokens or \
             limits.tokens"
                .to_owned(),
        ),
        (REPETITION, None) => (
            ErrorCode::ModelError,
            "the model repeated itself until its answer was ended; use a larger model, or ask for less"
                .to_owned(),
        ),
        (WINDOW_FULL, _) => (
            ErrorCode::ContextLengthExceeded,
            "the model's window is full; set its context_window, so that older results are shortened, or \
             send less"
                .to_owned(),
        ),
        (OVERSIZED, _) => (
            ErrorCode::OutputLimitExceeded,
            format!("the model's answer is longer than {MAX_ANSWER_BYTES} bytes"),
        ),
        (CONTENT_FILTER, _) => (
            ErrorCode::ModelRefused,
            "the model's content filter cut the answer; change the inputs or the app's instructions"
                .to_owned(),
        ),
        _ => (ErrorCode::ModelError, "the model's server cut the answer".to_owned()),
    };
    let is_loop = looped.is_some() || finish_reason == REPETITION;
    let error = RunError::new(code, &format!("step {step}: {what}"), Some(step));
    if is_loop { error.with_retryable(false) } else { error }
}

impl ResultCheck {
    /// A whole answer of an app without schema.
    pub(super) fn of_text(text: &str) -> Self {
        Self::Valid(RunResult { text: text.to_owned(), ..RunResult::default() })
    }

    /// A whole answer, the JSON in it, and what the app's schema finds wrong with that.
    pub(super) fn of_json(text: &str, data: Value, violations: &[String]) -> Self {
        if violations.is_empty() {
            Self::Valid(RunResult { text: text.to_owned(), data: Some(data), ..RunResult::default() })
        } else {
            Self::Mismatch(violations.join("; "))
        }
    }
}

/// JSON texts of an answer that are checked against the schema.
const MAX_CANDIDATES: usize = 4;
/// The most brackets in prose at which the search tries to read JSON.
const MAX_STARTS: usize = 24;

/// The JSON texts of an answer that PostgreSQL can store: the whole text, or else each code block, or else
/// the objects and lists in the prose, the largest first.
pub(super) fn candidates(text: &str) -> Result<Vec<Value>, String> {
    let whole = match serde_json::from_str::<Value>(text.trim()) {
        Ok(value) => return check_json(&value).map(|()| vec![value]).map_err(|refusal| refusal.to_string()),
        Err(error) => format!("the answer is not JSON: {error}"),
    };
    let mut found: Vec<Value> = fenced(text).filter_map(|body| serde_json::from_str(body).ok()).collect();
    if found.is_empty() {
        let has_fences = fenced(text).next().is_some();
        found = if has_fences { in_prose(&without_fences(text)) } else { in_prose(text) };
    }
    let refused = found.iter().find_map(|value| check_json(value).err());
    found.retain(|value| check_json(value).is_ok());
    found.truncate(MAX_CANDIDATES);
    if found.is_empty() { Err(refused.map_or(whole, |refusal| refusal.to_string())) } else { Ok(found) }
}

/// The code blocks of the text. Both fences begin a line, so a fence inside of a JSON string is none.
fn fenced(text: &str) -> impl Iterator<Item = &str> {
    let is_fence = |line: &str| line.trim_start().starts_with("```");
    let mut begun = None;
    let mut at = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        match (is_fence(line), begun) {
            (true, None) => {
                begun = Some(at);
                None
            }
            (true, Some(from)) => {
                begun = None;
                text.get(from..start).map(str::trim)
            }
            (false, _) => None,
        }
    })
}

/// The text without its code blocks.
pub(super) fn without_fences(text: &str) -> String {
    let mut fence = false;
    let outside = text.split_inclusive('\n').filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        fence ^= is_fence;
        !fence && !is_fence
    });
    outside.collect()
}

/// Whether JSON begins here, broken or not, and not a word in brackets.
fn looks_like_json(text: &str) -> bool {
    let behind = text[1..].trim_start();
    if text.starts_with('{') { behind.starts_with('"') } else { behind.starts_with(['{', '[', '"']) }
}

/// Objects and lists in prose, the largest first.
fn in_prose(text: &str) -> Vec<Value> {
    let mut found: Vec<(usize, Value)> = Vec::new();
    let mut from = 0;
    for _ in 0..MAX_STARTS {
        let Some(start) = text[from..].find(['{', '[']).map(|at| from + at) else { break };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let value = values.next();
        let length = values.byte_offset();
        from = start + 1;
        match value {
            Some(Ok(value)) => {
                from = start + length;
                found.push((length, value));
            }
            // A part of broken JSON is not the answer.
            _ if looks_like_json(&text[start..]) => break,
            _ => {}
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_found_wherever_a_model_puts_it() {
        let fence_in_string = "```json\n{\"md\": \"```\\nx\\n```\", \"n\": 1}\n```";
        for (text, expected) in [
            (r#" {"n":1} "#, json!({"n": 1})),
            ("```json\n{\"n\":1}\n```", json!({"n": 1})),
            ("Here you are:\n```\n{\"n\":1}\n```\nBye.", json!({"n": 1})),
            (fence_in_string, json!({"md": "```\nx\n```", "n": 1})),
            ("The result is {\"n\": 1}. I used [1] and {this}.", json!({"n": 1})),
            ("I ran:\n```sh\nls\n```\nResult: {\"n\": 1}", json!({"n": 1})),
            ("It is {\"n\": 1}. (Form: {\"n\": <number>})", json!({"n": 1})),
            ("7", json!(7)),
        ] {
            assert_eq!(candidates(text).unwrap()[0], expected, "{text}");
        }
        let both = "```\n{\"a\": 1}\n```\n```\n{\"n\": 1}\n```";
        assert_eq!(candidates(both).unwrap(), [json!({"a": 1}), json!({"n": 1})]);
        for (text, why) in [
            ("It is 1.", "not JSON"),
            ("{\"name\": \"x\", \"owner\": {\"id\": 7},}", "not JSON"),
            ("```json\n{\"a\": {\"id\": 7},}\n```", "not JSON"),
            ("```json {", "not JSON"),
            (r#"{"n":"\u0000"}"#, "U+0000"),
            (r#"{"n":"\ud800"}"#, "not JSON"),
            (r#"{"n":1e999}"#, "not JSON"),
            (&"[".repeat(100_000), "not JSON"),
        ] {
            assert!(candidates(text).unwrap_err().contains(why), "{text:.99}");
        }
    }

    #[test]
    fn an_answer_is_a_result_unless_the_schema_finds_something() {
        let plain = RunResult { text: "It is 1.".to_owned(), ..RunResult::default() };
        assert_eq!(ResultCheck::of_text("It is 1."), ResultCheck::Valid(plain));
        let valid = RunResult { text: "1".to_owned(), data: Some(json!(1)), ..RunResult::default() };
        assert_eq!(ResultCheck::of_json("1", json!(1), &[]), ResultCheck::Valid(valid));
        let wrong = ["a".to_owned(), "b".to_owned()];
        assert_eq!(ResultCheck::of_json("1", json!(1), &wrong), ResultCheck::Mismatch("a; b".to_owned()));
    }

    #[test]
    fn each_finish_reason_of_an_incomplete_answer_has_its_code() {
        let code = |reason, text| incomplete(reason, text, 2).code.as_str();
        assert_eq!(
            ["length", "oversized", "content_filter", "abort", "repetition"]
                .map(|reason| code(reason, "half")),
            ["token_limit_exceeded", "output_limit_exceeded", "model_refused", "model_error", "model_error"]
        );
        let looped = incomplete(LENGTH, &"I am. ".repeat(300), 2);
        assert!(looped.message.contains("repeated \"I am.\""), "{}", &*looped.message);
        assert!(!looped.retryable);
    }
}
