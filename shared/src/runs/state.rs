//! The states of a run, and the codes of those that failed.

use serde::{Deserialize, Serialize};

/// Where a run stands. A status never goes backwards; the last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Accepted, not claimed yet.
    Pending,
    /// Under a worker's lease.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended with an error code.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl RunStatus {
    /// All, in the order of a run's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As stored and as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl std::str::FromStr for RunStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no run status"))
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, retryable: $retryable:literal;)*) => {
        /// Why a run failed. Codes may be added; clients treat unknown ones by `retryable`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All codes that this build can give.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As stored and as shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether the same run, created again, may well succeed.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }
        }
    };
}

error_codes! {
    /// The model's server answered with something that is no answer.
    ModelError = "model_error", retryable: true;
    /// The model's server refused the operator's key.
    ModelAuthFailed = "model_auth_failed", retryable: false;
    /// The model's server said 429.
    ModelRateLimited = "model_rate_limited", retryable: true;
    /// The model's server is away, too slow, or said 5xx.
    ModelUnavailable = "model_unavailable", retryable: true;
    /// The model, or a content filter, declined to answer.
    ModelRefused = "model_refused", retryable: false;
    /// The request is longer than the model can take.
    ContextLengthExceeded = "context_length_exceeded", retryable: false;
    /// The app's prompt could not be rendered over these inputs.
    PromptError = "prompt_error", retryable: false;
    /// A tool failed in a way that the model cannot work around.
    ToolError = "tool_error", retryable: true;
    /// The sandbox is missing a layer, or did not start.
    SandboxError = "sandbox_error", retryable: true;
    /// The answer does not match the app's schema, not even after a repair.
    InvalidResult = "invalid_result", retryable: true;
    /// The model answered as often as the app allows, and was not done.
    StepLimitExceeded = "step_limit_exceeded", retryable: false;
    /// The model wanted to call tools more often than the app allows.
    ToolCallLimitExceeded = "tool_call_limit_exceeded", retryable: false;
    /// The model used up the app's tokens.
    TokenLimitExceeded = "token_limit_exceeded", retryable: false;
    /// The run used up its seconds.
    TimeLimitExceeded = "time_limit_exceeded", retryable: true;
    /// An answer is longer than a result may be, or the run brought forth more bytes than the app allows.
    OutputLimitExceeded = "output_limit_exceeded", retryable: false;
    /// The run's files take more room than the app allows.
    WorkspaceLimitExceeded = "workspace_limit_exceeded", retryable: false;
    /// No worker started the run within its `queueTimeoutSeconds`.
    QueueTimeout = "queue_timeout", retryable: true;
    /// Three workers in a row went silent over this run.
    WorkerLost = "worker_lost", retryable: true;
    /// A fault of capi itself.
    InternalError = "internal_error", retryable: true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for status in RunStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn error_codes_are_part_of_the_contract() {
        let listed: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        insta::assert_snapshot!(listed.join(" "), @"model_error model_auth_failed model_rate_limited model_unavailable model_refused context_length_exceeded prompt_error tool_error sandbox_error invalid_result step_limit_exceeded tool_call_limit_exceeded token_limit_exceeded time_limit_exceeded output_limit_exceeded workspace_limit_exceeded queue_timeout worker_lost internal_error");
    }
}
