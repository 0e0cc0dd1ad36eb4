//! The client for language models, and the conversation that it sends.

mod assemble;
mod calls;
mod classify;
mod conversation;
mod openai;
#[cfg(test)]
mod property;
mod request;
mod retry;
mod sse;
mod wire;
mod words;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use shared::config::ModelsFile;
use shared::runs::ErrorCode;
use shared::text::CleanText;

pub use conversation::{Call, Message, estimated_tokens};
pub use openai::{ModelTraits, OpenAiModel};
pub use request::{Offered, Request, messages};
pub use retry::wait_before_next;
pub use words::{Outlet, Words};

/// The most bytes of an answer, and so of `result.text`.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The finish reason of an answer that a filter cut.
pub const CONTENT_FILTER: &str = "content_filter";

/// The finish reason of an answer that used all its tokens.
pub const LENGTH: &str = "length";

/// Set by capi: the finish reason of an answer longer than [`MAX_ANSWER_BYTES`].
pub const OVERSIZED: &str = "oversized";

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: CleanText,
    /// An object with the model server's own fields.
    pub reasoning: Option<Value>,
    pub calls: Vec<Call>,
    /// The model server's own word.
    pub finish_reason: String,
    /// Absent if the server did not count.
    pub usage: Option<Counted>,
}

/// Tokens that the server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub input: i64,
    pub output: i64,
}

/// Why a request to a model got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// 401 or 403.
    #[error("the model's server refused the operator's key: {0}")]
    Auth(String),
    /// 429, with `Retry-After`.
    #[error("the model's server limits the request rate: {0}")]
    RateLimited(String, Option<Duration>),
    /// Down, too slow, or 5xx; with `Retry-After`.
    #[error("the model's server is not available: {0}")]
    Unavailable(String, Option<Duration>),
    /// The request is too long for the model.
    #[error("the conversation is too long for the model: {0}")]
    ContextLength(String),
    /// The model or a filter refused to answer.
    #[error("the model refused to answer: {0}")]
    Refused(String),
    /// The server rejects the request. It would reject it again.
    #[error("the model's server rejected the request: {0}")]
    Rejected(String),
    /// The answer is empty or malformed.
    #[error("the model's server sent no usable answer: {0}")]
    Unusable(String),
}

impl ModelError {
    pub(crate) fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned(), None)
    }

    /// The error code of a run that fails with this error.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Auth(_) => ErrorCode::ModelAuthFailed,
            Self::RateLimited(..) => ErrorCode::ModelRateLimited,
            Self::Unavailable(..) => ErrorCode::ModelUnavailable,
            Self::ContextLength(_) => ErrorCode::ContextLengthExceeded,
            Self::Refused(_) => ErrorCode::ModelRefused,
            Self::Rejected(_) | Self::Unusable(_) => ErrorCode::ModelError,
        }
    }
}

/// The models of CAPI_MODELS by id.
pub struct ModelClients(HashMap<String, OpenAiModel>);

impl ModelClients {
    /// Reads the keys of all models.
    pub fn new(models: &ModelsFile) -> anyhow::Result<Self> {
        let build = |model: &shared::config::Model| Ok((model.id.clone(), OpenAiModel::new(model)?));
        models.all().iter().map(build).collect::<anyhow::Result<_>>().map(Self)
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&OpenAiModel> {
        self.0.get(id)
    }
}
