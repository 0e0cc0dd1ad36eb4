//! What a finish reason means. The list of good reasons is closed, because an answer with any other reason
//! may be incomplete.

/// Finish reasons that capi sets itself, or records instead of the servers' different words.
pub const LENGTH: &str = "length";
/// The answer ends where the model's window is full.
pub const WINDOW_FULL: &str = "window_full";
pub const CONTENT_FILTER: &str = "content_filter";
/// The answer is longer than [`super::MAX_ANSWER_BYTES`].
pub const OVERSIZED: &str = "oversized";
/// The answer repeats one passage.
pub const REPETITION: &str = "repetition";

const WHOLE: [&str; 18] = [
    "stop",
    "tool_calls",
    "tool_call",
    "function_call",
    "tool_use",
    "end_turn",
    "stop_sequence",
    "eos",
    "eos_token",
    "end_of_turn",
    "end",
    "complete",
    "completed",
    "finished",
    "finish_reason_stop",
    "done",
    "normal",
    "stop_token",
];
const CUT_AT_LENGTH: [&str; 6] =
    [LENGTH, "max_tokens", "max_output_tokens", "max_completion_tokens", "token_limit", "max_length"];
const CUT_AT_WINDOW: [&str; 4] =
    [WINDOW_FULL, "model_length", "model_context_window_exceeded", "context_length_exceeded"];
const FILTERED: [&str; 10] = [
    CONTENT_FILTER,
    "safety",
    "refusal",
    "recitation",
    "prohibited_content",
    "blocklist",
    "spii",
    "sensitive",
    "guardrail_intervened",
    "content_filtered",
];
/// The server stopped because of a fault that may be temporary.
const SERVER_TROUBLE: [&str; 9] = [
    "insufficient_system_resource",
    "abort",
    "aborted",
    "cancelled",
    "canceled",
    "error",
    "timeout",
    "overloaded",
    "network_error",
];

/// What the end of an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Whole,
    CutAtLength,
    CutAtWindow,
    Filtered,
    ServerTrouble,
    /// A word that is in no list.
    Unknown,
}

pub(crate) fn meaning(reason: &str) -> Finish {
    // Gemini and some gateways write `STOP` or `content_filter: SAFETY`.
    let lower = reason.to_ascii_lowercase();
    let word = lower.split(':').next().unwrap_or_default().trim();
    let is = |list: &[&str]| list.contains(&word);
    if word.is_empty() || is(&WHOLE) {
        Finish::Whole
    } else if is(&CUT_AT_LENGTH) {
        Finish::CutAtLength
    } else if is(&CUT_AT_WINDOW) {
        Finish::CutAtWindow
    } else if is(&FILTERED) {
        Finish::Filtered
    } else if is(&SERVER_TROUBLE) {
        Finish::ServerTrouble
    } else {
        Finish::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_meaning() {
        for (reason, expected) in [
            ("stop", Finish::Whole),
            ("STOP", Finish::Whole),
            ("", Finish::Whole),
            ("end_turn", Finish::Whole),
            ("model_length", Finish::CutAtWindow),
            ("MAX_TOKENS", Finish::CutAtLength),
            ("content_filter: SAFETY", Finish::Filtered),
            ("insufficient_system_resource", Finish::ServerTrouble),
            ("malformed_function_call", Finish::Unknown),
        ] {
            assert_eq!(meaning(reason), expected, "{reason}");
        }
    }
}
