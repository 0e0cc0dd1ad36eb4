//! How a run ends, as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::{EventData, RunFailed, SourceUse, StoredError};
use super::state::{ErrorCode, RunStatus};
use crate::text::CleanText;

/// Bytes of `error.message`.
const MAX_MESSAGE_BYTES: usize = 500;

/// The column `result` of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RunResult {
    /// The model's answer.
    pub text: String,
    /// The parsed answer, if the app declares an output schema and the answer matches it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Value>,
    /// The run did not complete; this is what it produced until then.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub partial: bool,
    /// The web pages that the run found, read or cites, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sources: Vec<RunSource>,
}

/// A web page that a run found, read or cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSource {
    /// The number by which the model cites the page.
    pub id: u32,
    pub url: String,
    /// Empty if the page has none.
    pub title: String,
    pub how: SourceUse,
}

impl RunSource {
    /// Sources of one result. Of more, those are listed that the run used most. So a result stays below
    /// 1 MiB whatever the searches found.
    pub const MAX_LISTED: usize = 300;
    /// Bytes of a title. Longer ones are cut.
    pub const MAX_TITLE_BYTES: usize = 300;
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: the step, and the model server's status and text.
    pub message: CleanText,
    /// The step that failed, counted from 1; `None` before the first.
    pub step: Option<i32>,
    /// Whether the same run, created again, is likely to succeed.
    pub retryable: bool,
}

impl RunError {
    /// Cleans and cuts the message.
    #[must_use]
    pub fn new(code: ErrorCode, message: &str, step: Option<i32>) -> Self {
        let message = CleanText::new(message, MAX_MESSAGE_BYTES);
        Self { code, message, step, retryable: code.retryable() }
    }

    /// The same error of a cause that stays, although most of its code pass.
    #[must_use]
    pub fn with_retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    pub(super) fn stored(&self) -> StoredError {
        StoredError {
            code: self.code.as_str().to_owned(),
            message: self.message.clone().into_string(),
            step: self.step,
            retryable: self.retryable,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum RunEnd {
    Completed(RunResult),
    /// With an error, and what the run produced until then.
    Failed(RunError, Option<RunResult>),
    /// With an error. The process that ends the run does not know what the run produced, so the statement
    /// takes it from the log.
    Lost(RunError),
}

impl RunEnd {
    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(..) | Self::Lost(_) => RunStatus::Failed,
        }
    }

    /// What the worker says that the run produced.
    pub(super) fn result(&self) -> Option<&RunResult> {
        match self {
            Self::Completed(result) => Some(result),
            Self::Failed(_, result) => result.as_ref(),
            Self::Lost(_) => None,
        }
    }

    pub(super) fn error(&self) -> Option<&RunError> {
        match self {
            Self::Completed(_) => None,
            Self::Failed(error, _) | Self::Lost(error) => Some(error),
        }
    }

    pub(super) fn event(&self) -> EventData {
        match self {
            Self::Completed(_) => EventData::RunCompleted {},
            Self::Failed(error, _) | Self::Lost(error) => {
                EventData::RunFailed(RunFailed { error: error.stored() })
            }
        }
    }
}
