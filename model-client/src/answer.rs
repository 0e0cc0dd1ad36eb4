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
    /// The model server's own word, or one of `finish`.
    pub finish_reason: String,
    /// Absent if the server did not count.
    pub usage: Option<Counted>,
}

/// Tokens that the server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// With the cached ones.
    pub input: i64,
    /// With the reasoning.
    pub output: i64,
    /// Input that the server had in its prompt cache.
    pub cached_input: Option<i64>,
    pub reasoning: Option<i64>,
}
