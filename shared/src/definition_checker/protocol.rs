//! What a service and its checker processes say to each other: JSON, each message after its length (u32,
//! little-endian).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest message. An input or an answer of 1 MiB may need six bytes for each character.
pub(super) const MAX_MESSAGE_BYTES: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
pub(super) enum Task<'a> {
    CheckPrompt { template: Cow<'a, str>, inputs: Vec<Cow<'a, str>> },
    RenderPrompt { template: Cow<'a, str>, inputs: Cow<'a, Value> },
    CheckSchema { schema: Cow<'a, Value> },
    Violations { schema: Cow<'a, Value>, value: Cow<'a, Value> },
}

impl Task<'_> {
    /// What the task works on, for log lines and metrics.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::CheckPrompt { .. } | Self::RenderPrompt { .. } => "prompt",
            Self::CheckSchema { .. } | Self::Violations { .. } => "schema",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Accepted,
    Rendered(String),
    Violations(Vec<String>),
    /// Why the definition cannot be used.
    Refused(String),
}
