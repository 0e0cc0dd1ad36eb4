//! The status of a run, and the error codes of failed runs.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

/// The status of a run. It never goes backwards, and the last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Status))]
#[derive(Serialize, Deserialize, AsExpression, FromSqlRow)]
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
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The stored and shown name.
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

    /// Whether the status is final.
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
            .ok_or_else(|| format!("{text:?} is not a run status"))
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
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stored and shown name.
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
        "The model server rejected the request, cut its answer, or sent three unusable answers.";
    ModelAuthFailed = "model_auth_failed", retryable: false,
        "The model server rejected the installation's API key. An operator must correct it.";
    ModelRateLimited = "model_rate_limited", retryable: true,
        "The model server answered 429, also to the retries.";
    ModelQuotaExceeded = "model_quota_exceeded", retryable: false,
        "The operator's account at the model server has no credit or quota left. An operator must raise it.";
    ModelUnavailable = "model_unavailable", retryable: true,
        "The model server answered 5xx, was unreachable, or its stream broke, also at the retries.";
    ModelRefused = "model_refused", retryable: false,
        "The model, or a content filter in front of it, declined to answer.";
    ContextLengthExceeded = "context_length_exceeded", retryable: false,
        "The conversation is too long for the model, even with shortened tool results.";
    PromptError = "prompt_error", retryable: false,
        "The app's prompt could not be rendered with these inputs, or a picture among them cannot be shown.";
    InvalidApp = "invalid_app", retryable: false,
        "The app's prompt or output schema exceeds a bound that is newer than the app. Edit the app.";
    ToolError = "tool_error", retryable: true,
        "A tool failed in a way that the model could not work around.";
    SandboxError = "sandbox_error", retryable: true,
        "A layer of the worker's sandbox does not work, or the sandbox did not start.";
    InvalidResult = "invalid_result", retryable: true,
        "The answer did not match the app's output schema, not even after a repair.";
    StepLimitExceeded = "step_limit_exceeded", retryable: false,
        "The run used all its steps before it was done.";
    ToolCallLimitExceeded = "tool_call_limit_exceeded", retryable: false,
        "The model asked for more tool calls than the limit allows.";
    TokenLimitExceeded = "token_limit_exceeded", retryable: false,
        "The run used all its tokens, or an answer was cut at its length limit.";
    TimeLimitExceeded = "time_limit_exceeded", retryable: true,
        "The run used all its seconds.";
    OutputLimitExceeded = "output_limit_exceeded", retryable: false,
        "The run produced more output than its limit allows, or an answer has more than 1 MiB.";
    WorkspaceLimitExceeded = "workspace_limit_exceeded", retryable: false,
        "The run's files exceed its limit, 10,000 files, or 64 levels of folders.";
    QueueTimeout = "queue_timeout", retryable: true,
        "No worker started the run within its queue timeout.";
    WorkerLost = "worker_lost", retryable: true,
        "Three leases of the run in a row expired without a new recorded step.";
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
    fn a_status_is_parsed_as_it_is_written() {
        for status in RunStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn the_documentation_lists_each_error_code_with_its_meaning() {
        let documented =
            include_str!("../../../docs/API.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for code in ErrorCode::ALL {
            let retryable = if code.retryable() { " (retryable)" } else { "" };
            let item = format!("- `{}`{retryable}: {}", code.as_str(), code.meaning());
            assert!(documented.contains(&item), "docs/API.md, section errorCode, lacks: {item}");
        }
    }

    #[test]
    fn error_codes_are_part_of_the_contract() {
        let listed: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        insta::assert_snapshot!(listed.join("\n"), @r"
        model_error
        model_auth_failed
        model_rate_limited
        model_quota_exceeded
        model_unavailable
        model_refused
        context_length_exceeded
        prompt_error
        invalid_app
        tool_error
        sandbox_error
        invalid_result
        step_limit_exceeded
        tool_call_limit_exceeded
        token_limit_exceeded
        time_limit_exceeded
        output_limit_exceeded
        workspace_limit_exceeded
        queue_timeout
        worker_lost
        internal_error
        ");
    }
}
