//! Runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Time;

/// A status never goes backwards; the last three are final.
#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// Where a run was created.
#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Api,
    Console,
}

/// One execution of an app.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Run {
    id: Uuid,
    /// The first text input, or the head of the id.
    title: String,
    status: Status,
    app_id: Uuid,
    app_name: String,
    /// The version that the run pins.
    app_version: i32,
    source: Source,
    #[schema(required)]
    api_key: Option<UsedKey>,
    /// With defaults. Left out in lists.
    #[schema(value_type = Option<BTreeMap<String, Value>>, nullable = false)]
    inputs: Option<Value>,
    /// The model that the run uses.
    chat_model_id: String,
    #[schema(required)]
    webhook_url: Option<String>,
    /// Left out in webhooks.
    webhook: Option<WebhookState>,
    /// What the caller gave; the agent finds them under `inputs/`.
    files: Vec<GivenFile>,
    metadata: BTreeMap<String, String>,
    /// What the run produced. Left out in lists.
    result: Option<RunResult>,
    artifacts: Vec<Artifact>,
    /// Why a run failed; codes may be added.
    #[schema(required, example = "model_unavailable")]
    error_code: Option<String>,
    #[schema(required)]
    error: Option<RunError>,
    /// Why a pending run waits.
    #[schema(required)]
    pending: Option<Pending>,
    usage: Usage,
    /// How often a worker began or took over.
    attempt: i32,
    created_at: Time,
    #[schema(required)]
    started_at: Option<Time>,
    #[schema(required)]
    completed_at: Option<Time>,
}

/// A file that the run's caller gave.
#[derive(ToSchema)]
pub struct GivenFile {
    /// Its name under `inputs/`: the given one, made safe.
    name: String,
    /// Media type, as the bytes or the name say.
    r#type: String,
    /// Bytes.
    size: i64,
    /// In hexadecimal.
    sha256: String,
}

/// The key that created the run.
#[derive(ToSchema)]
pub struct UsedKey {
    id: Uuid,
    name: String,
}

/// Where the run's webhook stands.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WebhookState {
    #[schema(pattern = "^(pending|retrying|delivered|failed)$")]
    status: String,
    /// The `webhook-id`, once there is a delivery.
    #[schema(required)]
    delivery_id: Option<Uuid>,
}

/// What a run produced.
#[derive(ToSchema)]
pub struct RunResult {
    text: String,
    /// The text as JSON, where the app declares an output schema: it matches that.
    #[schema(value_type = Option<Value>, nullable = false)]
    data: Option<Value>,
    /// True where the run did not complete: what there was.
    #[schema(value_type = Option<bool>, nullable = false)]
    partial: Option<bool>,
    artifacts: Vec<Artifact>,
}

/// A file that a run published.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Artifact {
    id: Uuid,
    /// Media type.
    r#type: String,
    title: String,
    /// Bytes.
    size: i64,
    /// In hexadecimal.
    sha256: String,
    /// Needs the key.
    url: String,
    /// Needs no key until it expires.
    download_url: String,
    download_url_expires_at: Time,
}

/// Why a run failed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RunError {
    code: String,
    message: String,
    /// The step that failed, from 1.
    #[schema(required)]
    step: Option<i32>,
    /// The event that tells it.
    event_seq: i64,
    /// Whether the same run, created again, may well succeed.
    retryable: bool,
}

/// Why a run waits.
#[derive(ToSchema)]
pub struct Pending {
    #[schema(example = "waiting_for_worker")]
    reason: String,
    since: Time,
    /// The account's runs before it, counted up to 10,000.
    ahead: i64,
}

/// What a run used.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Usage {
    input_tokens: i64,
    output_tokens: i64,
    steps: i32,
    tool_calls: i32,
}

/// A page of runs.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RunList {
    data: Vec<Run>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The body of a webhook (Standard Webhooks 1.0).
#[derive(ToSchema)]
pub struct Webhook {
    #[schema(pattern = r"^run\.(completed|failed|cancelled)$")]
    r#type: String,
    timestamp: Time,
    /// The run as it ended, without `webhook`.
    data: Run,
    /// What was left out because the body would be longer than 256 KiB.
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    omitted: Option<Vec<String>>,
}
