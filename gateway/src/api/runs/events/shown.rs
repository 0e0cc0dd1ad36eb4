//! An event as the API shows it. Not shown is what describes the inside of an installation and would bind it:
//! names of workers, how a worker was chosen, the keys of snapshots in the store, and a model server's own
//! ids and reasoning fields. The texts of the reasoning are shown.
//!
//! docs/API.md has a table of these types and fields; a test compares them.

use serde::Serialize;
use shared::ids::ArtifactId;
use shared::runs::events::SourceUse;
use shared::time::Time;
use utoipa::ToSchema;
use uuid::Uuid;

/// One event of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct ShownEvent {
    /// 1, 2, 3 … without gaps.
    pub(super) seq: i64,
    pub(super) at: Time,
    /// The attempt that recorded the event. 0 is the gateway.
    pub(super) attempt: i32,
    #[serde(flatten)]
    pub(super) data: ShownData,
}

/// The type of an event, and what it holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventData)]
#[serde(tag = "type", content = "data")]
pub(super) enum ShownData {
    #[serde(rename = "run.created")]
    RunCreated(RunCreatedData),
    #[serde(rename = "run.started")]
    RunStarted(NoData),
    #[serde(rename = "run.taken_over")]
    RunTakenOver(RunTakenOverData),
    #[serde(rename = "message")]
    Message(MessageData),
    #[serde(rename = "tool.call")]
    ToolCall(ToolCallData),
    #[serde(rename = "tool.result")]
    ToolResult(ToolResultData),
    #[serde(rename = "artifact")]
    Artifact(ArtifactData),
    #[serde(rename = "note")]
    Note(NoteData),
    #[serde(rename = "run.completed")]
    RunCompleted(NoData),
    #[serde(rename = "run.failed")]
    RunFailed(RunFailedData),
    #[serde(rename = "run.cancelled")]
    RunCancelled(NoData),
}

/// Words of the answer that the model is giving: the data of a message `delta`. They are not recorded. The
/// event `message` that follows has all of them.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Delta {
    /// The step that the answer will be, counted from 1.
    pub(super) step: i32,
    /// What follows the words before.
    pub(super) text: String,
    /// Forget earlier words of this step: an answer begins, or begins again because its stream broke.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) restart: bool,
}

/// An empty object.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoData {}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunCreatedData {
    /// Where the run was created: `api` or `console`.
    #[schema(example = "api")]
    pub(super) source: String,
}

/// Another worker continues the run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunTakenOverData {
    /// How many workers in a row were lost without recording an event. 0 if the worker gave the run back.
    pub(super) losses: i32,
}

/// A message of the conversation with the model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum MessageData {
    /// The app's instructions.
    System(TextData),
    /// The app's prompt with the run's inputs.
    User(TextData),
    /// A whole answer of the model: one step.
    Assistant(AnswerData),
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextData {
    pub(super) content: String,
    /// The content was cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) truncated: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnswerData {
    pub(super) content: String,
    /// The texts of the model's reasoning, if its server returns them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reasoning: Option<String>,
    /// The tools that the model wants to call.
    pub(super) tool_calls: Vec<RequestedCallData>,
    /// The model server's own word.
    #[schema(example = "stop")]
    pub(super) finish_reason: String,
    pub(super) usage: StepUsageData,
    /// A text was cut, or tool calls were left out.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) truncated: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RequestedCallData {
    /// The `callId` of the events about this call.
    pub(super) id: Uuid,
    pub(super) name: String,
    /// JSON, unless the model made a mistake.
    pub(super) arguments: String,
}

/// The tokens of one step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepUsageData {
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    /// Those of the input that the model's server had in its prompt cache, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cached_input_tokens: Option<i64>,
    /// Those of the output that were reasoning, where the model's server says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_tokens: Option<i64>,
    /// The model's server did not count the tokens.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) estimated: bool,
}

/// A tool is about to be called.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolCallData {
    pub(super) call_id: Uuid,
    pub(super) name: String,
    /// The first 4 KiB of the arguments. The message of the model has all of them.
    pub(super) arguments: String,
    /// The step that asked for the call, counted from 1.
    pub(super) step: i32,
    /// The arguments were cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) truncated: bool,
}

/// What a tool returned to the model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResultData {
    pub(super) call_id: Uuid,
    pub(super) name: String,
    pub(super) content: String,
    pub(super) is_error: bool,
    /// The hosts that the call tried to reach, with redirects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) contacted_hosts: Vec<String>,
    /// The web pages that the call found or read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) sources: Vec<SourceData>,
    /// The content was cut, or the last sources were left out.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) truncated: bool,
}

/// A web page that a call found or read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SourceData {
    /// The number by which the model cites the page, as `[1]`. Each URL of a run has one.
    pub(super) id: u32,
    #[schema(example = "https://example.org/museum")]
    pub(super) url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(super) title: String,
    pub(super) how: SourceUse,
    /// The passage that a search shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(super) snippet: String,
    /// As the search provider writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) date: Option<String>,
}

/// A tool published a file. The run lists it with its links.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactData {
    #[schema(value_type = Uuid)]
    pub(super) id: ArtifactId,
    /// Its media type.
    pub(super) r#type: String,
    pub(super) title: String,
    /// In bytes.
    pub(super) size: u64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
}

/// A message from capi to the model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoteData {
    /// `files`, `wrap_up` or `repair`. Kinds may be added.
    #[schema(example = "wrap_up")]
    pub(super) kind: String,
    pub(super) text: String,
    /// The text was cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(super) truncated: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunFailedData {
    pub(super) error: FailureData,
}

/// Why the run failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureData {
    /// An `errorCode`.
    #[schema(example = "model_unavailable")]
    pub(super) code: String,
    pub(super) message: String,
    /// The step that failed, counted from 1.
    #[schema(required)]
    pub(super) step: Option<i32>,
    /// Whether the same run, created again, is likely to succeed.
    pub(super) retryable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}
