//! What a server that refuses means by it, over HTTP or in mid-stream: pure. Compatible servers agree on little, so the words count where
//! the numbers say nothing.

use std::time::Duration;

use super::{CONTENT_FILTER, ModelError};

const TOO_LONG: [&str; 7] = [
    "context_length_exceeded",
    "context length",
    "context window",
    "maximum context",
    "too many tokens",
    "reduce the length",
    "max_new_tokens",
];
const RATE: [&str; 3] = ["rate_limit", "rate limit", "too many requests"];
const AWAY: [&str; 6] = ["overloaded", "server_error", "unavailable", "timeout", "timed out", "disconnected"];

/// The error for a status (of HTTP, or in an error event), the whole body, and the words of it that may be shown.
pub(super) fn classify(
    status: Option<u16>,
    body: &str,
    said: String,
    retry_after: Option<Duration>,
) -> ModelError {
    let lower = body.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status {
        Some(status @ (401 | 403)) => ModelError::Auth(format!("HTTP {status}")),
        Some(429) => ModelError::RateLimited(said, retry_after),
        Some(408 | 500..=599) => ModelError::Unavailable(said, retry_after),
        None | Some(400) if has(&[CONTENT_FILTER]) => ModelError::Refused(said),
        None | Some(400 | 413 | 422) if has(&TOO_LONG) => ModelError::ContextLength(said),
        None if has(&RATE) => ModelError::RateLimited(said, retry_after),
        None if has(&AWAY) => ModelError::Unavailable(said, retry_after),
        Some(_) => ModelError::Rejected(said),
        None => ModelError::Unusable(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let code = |status, body: &str| classify(status, body, String::new(), None).code().as_str();
        let cases = [
            (Some(401), "context length", "model_auth_failed"),
            (Some(429), "", "model_rate_limited"),
            (Some(529), "", "model_unavailable"),
            (Some(400), r#"{"code":"content_filter"}"#, "model_refused"),
            (
                Some(400),
                r#"{"message":"Please reduce the length of the messages"}"#,
                "context_length_exceeded",
            ),
            (Some(422), "inputs tokens + max_new_tokens must be <= 4096", "context_length_exceeded"),
            (Some(400), "unknown field context", "model_error"),
            (Some(404), "", "model_error"),
            (None, r#"{"code":"server_error"}"#, "model_unavailable"),
            (None, r#"{"type":"overloaded_error"}"#, "model_unavailable"),
            (None, r#"{"type":"rate_limit_exceeded"}"#, "model_rate_limited"),
            (None, r#"{"code":"context_length_exceeded"}"#, "context_length_exceeded"),
            (None, "what?", "model_error"),
        ];
        for (status, body, expected) in cases {
            assert_eq!(code(status, body), expected, "{status:?} {body}");
        }
    }
}
