//! Recognises refusals of requests that are too long, and reads the numbers in them. Pure. The texts are in
//! lower case.

/// Words of a refusal for length.
const WORDS: &[&str] = &[
    "context_length_exceeded",
    "context length",
    "context window",
    "context size",
    "context limit",
    "exceed_context_size",
    "maximum context",
    "too many tokens",
    "prompt is too long",
    "input is too long",
    "input too long",
    "prompt too long",
    "maximum prompt length",
    "reduce the length",
    "tokens + `max_new_tokens`",
    "tokens + max_new_tokens",
    "exceeds the maximum number of tokens",
    "too large for model",
    "must have less than",
    "request too large",
    "string_above_max_length",
    "request_too_large",
];
/// Words about one request with more tokens than the limit of a minute. Waiting does not help.
const TOO_LARGE: &[&str] = &["request too large", "request_too_large"];

/// Phrases before the window in tokens, the most specific first.
const BEFORE_WINDOW: &[&str] = &[
    "\"n_ctx\":",
    "context length is only",
    "context length is",
    "context length of",
    "context window of",
    "context window is",
    "context size of",
    "context size is",
    "available context size",
    "tokens allowed",
    "maximum prompt length is",
    "must be <=",
    "must have less than",
    "cannot exceed",
    "tpm): limit",
    "> ",
    "limit of",
    "limit is",
];
/// Phrases after the window.
const BEHIND_WINDOW: &[&str] = &["maximum context length", "token context", "maximum"];
/// Phrases before the tokens of the request.
const BEFORE_REQUESTED: &[&str] = &[
    "for a total of at least",
    "prompt contains at least",
    "\"n_prompt_tokens\":",
    "requested about",
    "requested",
    "your request has",
    "request has",
    "prompt is too long:",
    "input token count",
    "prompt contains",
    "resulted in",
    "received",
    "given:",
    "request",
];

const LEAST_WINDOW: u32 = 64;
const LARGEST_WINDOW: u32 = 100_000_000;

pub(super) fn is_one(lower: &str) -> bool {
    WORDS.iter().any(|word| lower.contains(word))
}

pub(super) fn is_too_large(lower: &str) -> bool {
    TOO_LARGE.iter().any(|word| lower.contains(word))
}

/// The model's window and the tokens of the request, where the text names them.
pub(super) fn numbers(lower: &str) -> (Option<u32>, Option<i64>) {
    let behind = BEFORE_WINDOW.iter().find_map(|phrase| number_after(lower, phrase));
    let before = || BEHIND_WINDOW.iter().find_map(|phrase| number_before(lower, phrase));
    let window = behind.or_else(before).and_then(|window| u32::try_from(window).ok());
    let window = window.filter(|window| (LEAST_WINDOW..LARGEST_WINDOW).contains(window));
    let requested = BEFORE_REQUESTED.iter().find_map(|phrase| number_after(lower, phrase));
    (window, requested.filter(|requested| *requested < LARGEST_WINDOW.into()))
}

/// Characters between a phrase and its number.
const BETWEEN: [char; 6] = [' ', '(', ':', '`', '=', '"'];

/// The number directly after the phrase.
pub(super) fn number_after(text: &str, phrase: &str) -> Option<i64> {
    text.match_indices(phrase).find_map(|(at, _)| {
        let behind = text[at + phrase.len()..].trim_start_matches(BETWEEN);
        let end = behind.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(behind.len());
        behind[..end].replace(',', "").parse().ok()
    })
}

/// The number directly before the phrase.
fn number_before(text: &str, phrase: &str) -> Option<i64> {
    text.match_indices(phrase).find_map(|(at, _)| {
        let before = text[..at].trim_end_matches(BETWEEN);
        let begin = before.rfind(|c: char| !c.is_ascii_digit() && c != ',').map_or(0, |last| last + 1);
        before.get(begin..)?.replace(',', "").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_each_server_are_understood() {
        let cases = [
            (
                r#"{"error":{"code":400,"message":"request (5012 tokens) exceeds the available context size
                (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5012,
                "n_ctx":4096}}"#,
                Some(4096),
                Some(5012),
            ),
            (
                "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens \
                 (8000 in the messages, 1000 in the completion). Please reduce the length of the messages or \
                 completion.",
                Some(8192),
                Some(9000),
            ),
            (
                "'max_tokens' is too large: 200000. This model's maximum context length is 32,768 tokens and \
                 your request has 20 input tokens",
                Some(32_768),
                Some(20),
            ),
            (
                "This model's maximum context length is 8192 tokens. However, you requested 3584 output tokens
                and your prompt contains at least 4609 input tokens, for a total of at least 8193 tokens.",
                Some(8192),
                Some(8193),
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", Some(200_000), Some(210_000)),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_048_576),
                Some(1_200_000),
            ),
            (
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum \
                 context length",
                Some(32_768),
                Some(40_000),
            ),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 512",
                Some(4096),
                Some(5000),
            ),
            (
                "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 7000",
                Some(6000),
                Some(7000),
            ),
            (
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input \
                 length",
                Some(200_000),
                None,
            ),
            ("Please reduce the length of the messages or completion.", None, None),
            ("input is too long for requested model.", None, None),
        ];
        for (text, window, requested) in cases {
            let lower = crate::json::told(text);
            assert!(is_one(&lower), "{text}");
            assert_eq!(numbers(&lower), (window, requested), "{text}");
        }
        assert!(!is_one("unknown field context"));
        assert!(!is_one("`max_new_tokens` must be <= 512. given: 2000"));
    }
}
