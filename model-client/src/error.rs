//! Why a request to a model got no usable answer.

use std::time::Duration;

use shared::runs::ErrorCode;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// 401, 403, or a refusal that names the key.
    #[error("the model's server refused the operator's key: {0}")]
    Auth(String),
    /// 429, with `Retry-After`.
    #[error("the model's server limits the request rate: {0}")]
    RateLimited(String, Option<Duration>),
    /// The operator's account has no credit or quota left. Waiting does not help.
    #[error("the operator's account at the model's server has no credit or quota left: {0}")]
    Quota(String),
    /// Down, too slow, or 5xx; with `Retry-After`.
    #[error("the model's server is not available: {0}")]
    Unavailable(String, Option<Duration>),
    /// It says nothing for too long. It may still work, and be paid for it.
    #[error("the model's server is not available: {0}")]
    Silent(String),
    /// Unavailable until an operator acts, for example because a certificate has expired.
    #[error("the model's server cannot be reached: {0}")]
    Unreachable(String),
    /// The request is too long for the model.
    #[error("the conversation is too long for the model: {message}")]
    ContextLength {
        message: String,
        /// The most tokens, if the server names them.
        window: Option<u32>,
        /// The tokens of the request, if the server names them.
        requested: Option<i64>,
    },
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

    pub(crate) fn too_long(message: String) -> Self {
        Self::ContextLength { message, window: None, requested: None }
    }

    /// The error code of a run that fails with this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Auth(_) => ErrorCode::ModelAuthFailed,
            Self::RateLimited(..) => ErrorCode::ModelRateLimited,
            Self::Quota(_) => ErrorCode::ModelQuotaExceeded,
            Self::Unavailable(..) | Self::Silent(_) | Self::Unreachable(_) => ErrorCode::ModelUnavailable,
            Self::ContextLength { .. } => ErrorCode::ContextLengthExceeded,
            Self::Refused(_) => ErrorCode::ModelRefused,
            Self::Rejected(_) | Self::Unusable(_) => ErrorCode::ModelError,
        }
    }

    /// Whether the same run, created again, is likely to succeed.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        !matches!(self, Self::Rejected(_) | Self::Unreachable(_)) && self.code().retryable()
    }
}
