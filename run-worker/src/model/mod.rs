//! Language models behind their servers' APIs.

mod assemble;
mod openai;
mod sse;
mod wire;

use std::collections::HashMap;

use shared::config::ModelsFile;
use shared::runs::ErrorCode;
use shared::text::CleanText;

pub use openai::OpenAiModel;

/// Bytes of an answer: what `result.text` may hold.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The finish reason of an answer that a filter cut off.
pub const CONTENT_FILTER: &str = "content_filter";

/// The finish reason of an answer that used up its tokens.
pub const LENGTH: &str = "length";

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the model said.
    pub text: CleanText,
    /// Why it stopped, in the server's word.
    pub finish_reason: String,
    /// As the server counted them; 0 where it does not.
    pub input_tokens: i64,
    /// As the server counted them; 0 where it does not.
    pub output_tokens: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// 401 or 403.
    #[error("the model's server refused the operator's key: {0}")]
    Auth(String),
    /// 429.
    #[error("the model's server limits the rate: {0}")]
    RateLimited(String),
    /// Away, too slow, or 5xx.
    #[error("the model's server is not available: {0}")]
    Unavailable(String),
    /// The request is too long for the model.
    #[error("the conversation is too long for the model: {0}")]
    ContextLength(String),
    /// The model, or a filter before it, declined to answer.
    #[error("the model refused to answer: {0}")]
    Refused(String),
    /// An answer that is none.
    #[error("the model's server gave no usable answer: {0}")]
    Unusable(String),
    /// More text than a result may hold.
    #[error("the model's answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}

impl ModelError {
    /// As the run fails.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Auth(_) => ErrorCode::ModelAuthFailed,
            Self::RateLimited(_) => ErrorCode::ModelRateLimited,
            Self::Unavailable(_) => ErrorCode::ModelUnavailable,
            Self::ContextLength(_) => ErrorCode::ContextLengthExceeded,
            Self::Refused(_) => ErrorCode::ModelRefused,
            Self::Unusable(_) => ErrorCode::ModelError,
            Self::TooLong => ErrorCode::OutputLimitExceeded,
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
