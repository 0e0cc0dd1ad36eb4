//! What an event of a run holds: the one definition for all writers and readers. The columns `type` and
//! `data` of `run_events` hold an [`EventData`]. The statements that build or read `data` in SQL use the same
//! keys; run-worker/tests/it/recorded.rs checks them.
//!
//! A former version reads what this one writes, and the other way round. So keys stay, new fields are
//! optional, and readers ignore fields and types that they do not know. A worker that cannot read an event of
//! the conversation fails the run. So a new role, or a field that readers require, needs one release before
//! it that reads it.

mod files;
mod log;
mod note;
mod sources;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use files::{LoggedPicture, MANIFEST, PublishedArtifact, StoredPicture, StoredSnapshot};
pub use log::{Event, read, read_after};
pub use note::{Note, NoteKind};
pub use sources::{FoundSource, SourceUse};

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident $payload:tt = $text:literal;)*) => {
        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum EventType { $($(#[$doc])* $name,)* }

        impl EventType {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As stored and as shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The type with this name. `None` for one that only a later version knows.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }

            /// Whether it ends a run. Such an event is the last one of its run.
            #[must_use]
            pub const fn is_terminal(self) -> bool {
                matches!(self, Self::RunCompleted | Self::RunFailed | Self::RunCancelled)
            }
        }

        /// An event without its number: its type and its data. All texts are clean (`shared::text`).
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "data")]
        pub enum EventData { $($(#[$doc])* #[serde(rename = $text)] $name $payload,)* }

        impl EventData {
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self { $(Self::$name { .. } => EventType::$name,)* }
            }
        }
    };
}

event_types! {
    /// The gateway accepted the run.
    RunCreated(RunCreated) = "run.created";
    /// A worker claimed the run for the first time.
    RunStarted(RunStarted) = "run.started";
    /// Another worker took the run over.
    RunTakenOver(RunTakenOver) = "run.taken_over";
    /// A message of the conversation with the model.
    Message(LoggedMessage) = "message";
    /// The intent to call a tool, recorded before the call.
    ToolCall(ToolCall) = "tool.call";
    ToolResult(ToolResult) = "tool.result";
    /// The run published a file.
    Artifact(PublishedArtifact) = "artifact";
    /// A message from capi to the model.
    Note(Note) = "note";
    RunCompleted {} = "run.completed";
    RunFailed(RunFailed) = "run.failed";
    /// The user cancelled the run.
    RunCancelled {} = "run.cancelled";
}

impl EventData {
    /// The column `data`.
    #[must_use]
    pub fn data(&self) -> Value {
        json!(self)["data"].take()
    }

    /// Reads the columns `type` and `data`. Returns `None` for a type that only a later version knows.
    pub fn read(event_type: &str, data: Value) -> serde_json::Result<Option<Self>> {
        if EventType::of(event_type).is_none() {
            return Ok(None);
        }
        let members = [("type".to_owned(), event_type.into()), ("data".to_owned(), data)];
        Self::deserialize(Value::Object(Map::from_iter(members))).map(Some)
    }
}

/// The columns `type` and `data` of these events, as two arrays of one length.
pub fn columns<'e>(events: impl IntoIterator<Item = &'e EventData>) -> (Vec<&'static str>, Vec<Value>) {
    events.into_iter().map(|event| (event.event_type().as_str(), event.data())).unzip()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCreated {
    /// `api` or `console`.
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    pub worker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTakenOver {
    pub worker: String,
    /// Leases that expired in a row, without an event recorded between.
    pub losses: i32,
    /// Whether the worker held nothing else, because the next loss may be the last.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alone: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum LoggedMessage {
    /// The app's instructions.
    System {
        content: String,
    },
    /// The rendered prompt, and the pictures that the model is shown with it.
    User {
        content: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pictures: Vec<LoggedPicture>,
    },
    Assistant(LoggedAnswer),
}

/// A whole answer of the model: one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedAnswer {
    pub content: String,
    /// The model server's own word.
    pub finish_reason: String,
    pub usage: StepUsage,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<RequestedCall>,
    /// An object with the model server's own fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
}

/// The tokens of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepUsage {
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// Those of the input that the server had in its prompt cache, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<i64>,
    /// Those of the output that were reasoning, where the server says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<i64>,
    /// The model server did not count them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// The bytes of the request, for the estimate of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<i64>,
}

/// A tool call as the model requested it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestedCall {
    /// Unique; also the id of an artifact that the call publishes.
    pub id: Uuid,
    /// The model server's id of the call. It is unique within its message.
    pub provider_id: String,
    /// A tool, if the app has one of this name.
    pub name: String,
    /// JSON, unless the model made a mistake.
    pub arguments: String,
    /// The model server's own fields, which it may want back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    pub call_id: Uuid,
    pub name: String,
    /// The beginning of the arguments. [`RequestedCall`] has all of them.
    pub arguments: String,
    pub step: i32,
    /// The arguments go on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    pub call_id: Uuid,
    pub name: String,
    /// What the model is sent.
    pub content: String,
    pub is_error: bool,
    /// The picture that the model is shown with the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<StoredPicture>,
    /// The snapshot that holds the workspace after this call, if the call changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<StoredSnapshot>,
    /// The hosts that the call tried to reach, redirects included. The row of the run repeats them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacted_hosts: Vec<String>,
    /// The call left the workspace over its limit, or it was undone for that reason.
    #[serde(default, skip_serializing_if = "is_false")]
    pub over_quota: bool,
    /// The web pages that the call found or read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<FoundSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailed {
    pub error: StoredError,
}

/// A [`super::RunError`] in the event `run.failed`. The column `error` of the run also holds the number of
/// that event ([`super::ShownError`]). The code may be one that only a later version knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredError {
    pub code: String,
    pub message: String,
    pub step: Option<i32>,
    pub retryable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}
