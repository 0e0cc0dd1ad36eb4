//! The states of a run, and the codes of those that failed.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

/// Where a run stands. A status never goes backwards; the last three are final.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Status))]
#[serde(rename_all = "lowercase")]
#[diesel(sql_type = Text)]
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

impl FromSql<Text, Pg> for RunStatus {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(<String as FromSql<Text, Pg>>::from_sql(bytes)?.parse()?)
    }
}

macro_rules! error_codes {
    ($($name:ident = $text:literal, retryable: $retryable:literal, $meaning:literal;)*) => {
        /// Why a run failed. Codes may be added; clients treat unknown codes by `retryable`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $(#[doc = $meaning] $name,)* }

        impl ErrorCode {
            /// All codes that this build can give.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As stored and as shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One sentence for people. The console and docs/API.md show it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// Whether the same run, created again, is likely to succeed.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }
        }
    };
}

error_codes! {
    ModelError = "model_error", retryable: true,
        "The model server rejected the request, or its answer cannot be used.";
    ModelAuthFailed = "model_auth_failed", retryable: false,
        "The model server rejected the installation's API key. An operator must correct it.";
    ModelRateLimited = "model_rate_limited", retryable: true,
        "The model server received too many requests.";
    ModelUnavailable = "model_unavailable", retryable: true,
        "The model server was unreachable or too slow.";
    ModelRefused = "model_refused", retryable: false,
        "The model, or a content filter in front of it, declined to answer.";
    ContextLengthExceeded = "context_length_exceeded", retryable: false,
        "The conversation became longer than the model can read.";
    PromptError = "prompt_error", retryable: false,
        "The app's prompt could not be rendered with these inputs.";
    ToolError = "tool_error", retryable: true,
        "A tool failed in a way that the agent could not work around.";
    SandboxError = "sandbox_error", retryable: true,
        "The sandbox did not start on the worker.";
    InvalidResult = "invalid_result", retryable: true,
        "The answer did not match the app's output schema, not even after a repair.";
    StepLimitExceeded = "step_limit_exceeded", retryable: false,
        "The run used all its steps before it was done.";
    ToolCallLimitExceeded = "tool_call_limit_exceeded", retryable: false,
        "The run used all its tool calls before it was done.";
    TokenLimitExceeded = "token_limit_exceeded", retryable: false,
        "The run used all its tokens before it was done.";
    TimeLimitExceeded = "time_limit_exceeded", retryable: true,
        "The run took longer than its limit allows.";
    OutputLimitExceeded = "output_limit_exceeded", retryable: false,
        "The run produced more output than its limit allows.";
    WorkspaceLimitExceeded = "workspace_limit_exceeded", retryable: false,
        "The run's files took more space than its limit allows.";
    QueueTimeout = "queue_timeout", retryable: true,
        "No worker started the run within its queue timeout.";
    WorkerLost = "worker_lost", retryable: true,
        "Three workers in a row were lost while they executed this run.";
    InternalError = "internal_error", retryable: true,
        "capi itself failed. Report the run's id to the operator.";
}

impl std::str::FromStr for ErrorCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.iter().copied();
        all.find(|code| code.as_str() == text).ok_or_else(|| format!("{text:?} is not an error code"))
    }
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
