//! The events that send webhooks.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The type of a delivery that tests a receiver. It belongs to no run.
pub const PING: &str = "ping";
/// How long the client of a test waits. A test that is older is not sent. The request may take 16 s of it
/// (the dispatcher's `TOTAL_TIMEOUT` and `BODY_TIME`); the contract promises an answer within 20 s.
pub const PING_WAIT: Duration = Duration::from_millis(19_500);

/// What `webhookEvents` of a create may list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WebhookEvent {
    #[serde(rename = "run.completed")]
    RunCompleted,
    #[serde(rename = "run.failed")]
    RunFailed,
    #[serde(rename = "run.cancelled")]
    RunCancelled,
    /// A worker started the run.
    #[serde(rename = "run.started")]
    RunStarted,
    /// The run published a file.
    #[serde(rename = "run.artifact")]
    RunArtifact,
}

impl WebhookEvent {
    pub const ALL: [Self; 5] =
        [Self::RunCompleted, Self::RunFailed, Self::RunCancelled, Self::RunStarted, Self::RunArtifact];

    /// The stored and sent name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::RunStarted => "run.started",
            Self::RunArtifact => "run.artifact",
        }
    }
}

impl FromStr for WebhookEvent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|event| event.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is not an event of a webhook"))
    }
}
