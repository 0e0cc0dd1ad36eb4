//! Classifies the error of a model server, from an HTTP response or from the stream: pure. Compatible servers
//! share few codes, so the text decides where the status does not.

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
const RATE_LIMITED: [&str; 3] = ["rate_limit", "rate limit", "too many requests"];
const UNAVAILABLE: [&str; 6] =
    ["overloaded", "server_error", "unavailable", "timeout", "timed out", "disconnected"];

/// `status` is from HTTP or from an error event. `message` is the part of the body that may be shown.
pub(super) fn classify(
    status: Option<u16>,
    body: &str,
    message: String,
    retry_after: Option<Duration>,
) -> ModelError {
    let lower = body.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status {
        Some(status @ (401 | 403)) => ModelError::Auth(format!("HTTP {status}")),
        Some(429) => ModelError::RateLimited(message, retry_after),
        Some(408 | 500..=599) => ModelError::Unavailable(message, retry_after),
        None | Some(400) if has(&[CONTENT_FILTER]) => ModelError::Refused(message),
        None | Some(400 | 413 | 422) if has(&TOO_LONG) => ModelError::ContextLength(message),
        None if has(&RATE_LIMITED) => ModelError::RateLimited(message, retry_after),
        None if has(&UNAVAILABLE) => ModelError::Unavailable(message, retry_after),
        Some(_) => ModelError::Rejected(message),
        None => ModelError::Unusable(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_status_and_text() {
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
