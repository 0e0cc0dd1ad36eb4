//! Language models behind their servers' APIs.

mod assemble;
mod calls;
mod conversation;
mod openai;
mod refusal;
mod request;
mod retry;
mod sse;
mod wire;

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

/// Bytes of an answer: what `result.text` may hold.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The finish reason of an answer that a filter cut off.
pub const CONTENT_FILTER: &str = "content_filter";

/// The finish reason of an answer that used up its tokens.
pub const LENGTH: &str = "length";

/// capi's own: of an answer that was longer than [`MAX_ANSWER_BYTES`].
pub const OVERSIZED: &str = "oversized";

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the model said.
    pub text: CleanText,
    /// What it thought, under the names of the server's own fields.
    pub reasoning: Option<Value>,
    /// The tool calls that it requests.
    pub calls: Vec<Call>,
    /// Why it stopped, in the server's word.
    pub finish_reason: String,
    /// As the server counted, if it did.
    pub usage: Option<Counted>,
}

/// Tokens as a server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub input: i64,
    pub output: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// 401 or 403.
    #[error("the model's server refused the operator's key: {0}")]
    Auth(String),
    /// 429, and what `Retry-After` said.
    #[error("the model's server limits the rate: {0}")]
    RateLimited(String, Option<Duration>),
    /// Away, too slow, or 5xx; and what `Retry-After` said.
    #[error("the model's server is not available: {0}")]
    Unavailable(String, Option<Duration>),
    /// The request is too long for the model.
    #[error("the conversation is too long for the model: {0}")]
    ContextLength(String),
    /// The model, or a filter before it, declined to answer.
    #[error("the model refused to answer: {0}")]
    Refused(String),
    /// The server refuses the request: it would refuse it again.
    #[error("the model's server does not take the request: {0}")]
    Rejected(String),
    /// An answer that is none.
    #[error("the model's server gave no usable answer: {0}")]
    Unusable(String),
}

impl ModelError {
    pub(crate) fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned(), None)
    }

    /// As the run fails.
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

/// All models of CAPI_MODELS by id.
pub struct ModelClients(HashMap<String, OpenAiModel>);

impl ModelClients {
    /// Builds the clients and reads their keys.
    pub fn new(models: &ModelsFile) -> anyhow::Result<Self> {
        let build = |model: &shared::config::Model| Ok((model.id.clone(), OpenAiModel::new(model)?));
        models.all().iter().map(build).collect::<anyhow::Result<_>>().map(Self)
    }

    /// The model with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&OpenAiModel> {
        self.0.get(id)
    }
}
