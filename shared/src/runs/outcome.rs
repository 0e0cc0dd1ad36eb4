//! What a run ended with, as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::{ErrorCode, RunStatus};
use crate::events::{EventType, NewEvent};
use crate::text::CleanText;

/// Bytes of `error.message`.
const MAX_MESSAGE_BYTES: usize = 500;

/// What a run produced, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RunResult {
    /// The model's answer.
    pub text: String,
    /// The same, parsed, where the app declares a schema that it matches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Value>,
    /// Set where the run did not complete: what there was.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub partial: bool,
}

/// Why a run failed, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What programs look at.
    pub code: ErrorCode,
    /// What people read; names the step, and the provider's status and words.
    pub message: CleanText,
    /// The step that failed, counted from 1; none before the first.
    pub step: Option<i32>,
}

impl RunError {
    /// Cleans and cuts the message.
    #[must_use]
    pub fn new(code: ErrorCode, message: &str, step: Option<i32>) -> Self {
        Self { code, message: CleanText::new(message, MAX_MESSAGE_BYTES), step }
    }

    pub(super) fn stored(&self) -> Value {
        json!({
            "code": self.code.as_str(), "message": &*self.message, "step": self.step, "retryable": self.code.retryable(),
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// With a result.
    Completed(RunResult),
    /// With an error, and what there was until then.
    Failed(RunError, Option<RunResult>),
    /// With an error, by somebody who knows nothing of the run: what there was is found in its log.
    Lost(RunError),
}

impl Ended {
    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(..) | Self::Lost(_) => RunStatus::Failed,
        }
    }

    pub(super) fn event(&self) -> NewEvent {
        match self {
            Self::Completed(_) => NewEvent { kind: EventType::RunCompleted, data: json!({}) },
            Self::Failed(error, _) | Self::Lost(error) => {
                NewEvent { kind: EventType::RunFailed, data: json!({ "error": error.stored() }) }
            }
        }
    }
}
