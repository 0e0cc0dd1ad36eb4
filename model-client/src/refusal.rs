//! Classifies the refusal of a model server, from an HTTP response or from the stream. Pure. Servers share
//! few codes. So words decide where the status does not, with one table for all protocols.

use std::time::Duration;

use super::ModelError;
use super::json::told;
use super::overflow;

/// Words about an account without credit. Waiting does not help.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "insufficient quota",
    "billing_hard_limit",
    "billing hard limit",
    "credit balance is too low",
    "insufficient balance",
    "insufficient credit",
    "requires more credits",
    "payment required",
    "out of credits",
    "account is not active",
    "account_deactivated",
];
const MODERATED: &[&str] = &[
    "content_filter",
    "content filter",
    "content_policy",
    "content policy",
    "moderation",
    "flagged",
    "safety system",
    "responsible ai",
    "cyber_policy",
    "invalid_prompt",
    "data_inspection_failed",
];
const WRONG_KEY: &[&str] = &[
    "api key not valid",
    "api_key_invalid",
    "invalid api key",
    "incorrect api key",
    "invalid_api_key",
    "authentication_error",
    "missing api key",
    "no auth credentials",
];
/// The model wrote a malformed call. Another answer may be well formed.
const BROKEN_CALL: &[&str] = &["tool_use_failed", "failed to call a function", "malformed_function_call"];
const RATE_LIMITED: &[&str] = &["rate_limit", "rate limit", "too many requests", "resource_exhausted"];
const UNAVAILABLE: &[&str] = &[
    "overloaded",
    "server_error",
    "internal_error",
    "internal error",
    "unavailable",
    "timeout",
    "timed out",
    "disconnected",
    "try again",
    "api_error",
    "capacity",
];

/// `status` is from HTTP or from an error event. `message` is the part of the body that may be shown.
pub(crate) fn classify(
    status: Option<u16>,
    body: &str,
    message: String,
    retry_after: Option<Duration>,
) -> ModelError {
    let lower = told(body);
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let retry_after = retry_after.or_else(|| delay_in_body(&lower));
    match status {
        Some(401) => ModelError::Auth("HTTP 401".to_owned()),
        None | Some(400 | 402 | 403 | 429) if has(QUOTA) => ModelError::Quota(message),
        None | Some(400 | 403 | 422 | 451) if has(MODERATED) => ModelError::Refused(message),
        None | Some(400) if has(WRONG_KEY) => ModelError::Auth(
            status.map_or_else(|| "in its answer".to_owned(), |status| format!("HTTP {status}")),
        ),
        Some(403) => ModelError::Auth("HTTP 403".to_owned()),
        None | Some(400) if has(BROKEN_CALL) => ModelError::Unusable(message),
        Some(429) if !overflow::is_too_large(&lower) => ModelError::RateLimited(message, retry_after),
        None | Some(400 | 404 | 413 | 422 | 429 | 500) if overflow::is_one(&lower) => {
            let (window, requested) = overflow::numbers(&lower);
            ModelError::ContextLength { message, window, requested }
        }
        Some(413) => ModelError::too_long(message),
        Some(402) => ModelError::Quota(message),
        Some(408 | 425 | 500..=599) => ModelError::Unavailable(message, retry_after),
        None if has(RATE_LIMITED) => ModelError::RateLimited(message, retry_after),
        None if has(UNAVAILABLE) => ModelError::Unavailable(message, retry_after),
        Some(404) => ModelError::Rejected(format!("{message}; check base_url and model in the models file")),
        Some(300..=399) => {
            ModelError::Rejected(format!("{message}; it redirects: write its final address as base_url"))
        }
        Some(_) => ModelError::Rejected(message),
        None => ModelError::Unusable(message),
    }
}

/// Gemini names the wait in the body: `"retryDelay": "34s"`.
fn delay_in_body(lower: &str) -> Option<Duration> {
    let (_, behind) = lower.split_once("\"retrydelay\"")?;
    let value = behind.trim_start_matches([':', ' ', '"']);
    let (seconds, _) = value.split_once('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_status_and_text() {
        let code = |status, body: &str| classify(status, body, String::new(), None).code().as_str();
        let cases = [
            (Some(401), "context length", "model_auth_failed"),
            (Some(403), "", "model_auth_failed"),
            (Some(403), "Your input was flagged by moderation", "model_refused"),
            (Some(400), "API key not valid. Please pass a valid API key.", "model_auth_failed"),
            (Some(429), "", "model_rate_limited"),
            (Some(429), "too many tokens per minute", "model_rate_limited"),
            (
                Some(400),
                r#"{"code":"tool_use_failed","failed_generation":"context length is 64"}"#,
                "model_error",
            ),
            (Some(429), r#"{"code":"insufficient_quota"}"#, "model_quota_exceeded"),
            (Some(402), "", "model_quota_exceeded"),
            (Some(413), "Request too large: Limit 6000, Requested 7000", "context_length_exceeded"),
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
            (Some(307), "", "model_error"),
            (None, r#"{"code":"server_error"}"#, "model_unavailable"),
            (None, r#"{"type":"overloaded_error"}"#, "model_unavailable"),
            (None, r#"{"type":"rate_limit_exceeded"}"#, "model_rate_limited"),
            (None, r#"{"code":"context_length_exceeded"}"#, "context_length_exceeded"),
            (None, "what?", "model_error"),
        ];
        for (status, body, expected) in cases {
            assert_eq!(code(status, body), expected, "{status:?} {body}");
        }
        assert!(!classify(Some(400), "", String::new(), None).retryable());
        assert!(classify(None, "", String::new(), None).retryable());
        let limited = classify(Some(429), r#"{"retryDelay": "34.5s"}"#, String::new(), None);
        assert_eq!(limited, ModelError::RateLimited(String::new(), Some(Duration::from_millis(34_500))));
    }
}
