//! A whole answer of a model, and what its server counted.

use serde_json::Value;
use shared::text::CleanText;

use super::Call;

/// The most bytes of an answer, and so of `result.text`.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: CleanText,
    /// An object with the model server's own fields.
    pub reasoning: Option<Value>,
    pub calls: Vec<Call>,
    /// The server's word for why the answer ended, or a constant of `finish`.
    pub finish_reason: String,
    /// Absent if the server did not count.
    pub usage: Option<Counted>,
}

/// Tokens that the server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Includes the cached tokens.
    pub input: i64,
    /// Includes the reasoning tokens.
    pub output: i64,
    /// Tokens of the input that the server had in its prompt cache.
    pub cached_input: Option<i64>,
    pub reasoning: Option<i64>,
}
