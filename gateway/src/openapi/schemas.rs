//! The shapes of the contract, for its document alone: the views themselves are JSON that SQL and the handlers build. The
//! fuzzer and the tests hold each answer against them.
#![expect(dead_code, reason = "shapes; nothing is ever made of them")]
#![expect(missing_docs, reason = "the names say it; texts here go into the document")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// RFC 3339, UTC, milliseconds.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-24T12:00:00.000Z")]
pub struct Time(String);

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
    #[schema(required)]
    webhook: Option<WebhookState>,
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

/// A run to create.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// The app to run; not needed where the path names it.
    app_id: Option<Uuid>,
    /// Values for the app's input fields.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    inputs: Option<Value>,
    /// Overrides the app's model; one of /models.
    chat_model_id: Option<String>,
    /// Gets a signed POST when the run is over.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    webhook_url: Option<String>,
    /// At most 16 pairs, returned as they came.
    metadata: Option<BTreeMap<String, String>>,
    /// Not started by then: failed with `queue_timeout`.
    #[schema(minimum = 1, maximum = 604_800, default = 86_400)]
    queue_timeout_seconds: Option<i32>,
}

/// A run that was accepted.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Accepted {
    id: Uuid,
    status: Status,
    app_id: Uuid,
    app_name: String,
}

/// What a dry run found.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct DryRun {
    /// Always true: mistakes are answered as problems.
    valid: bool,
    app_id: Uuid,
    app_name: String,
    app_version: i32,
    chat_model_id: String,
}

/// The finished run, or what a dry run found.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum RunOrDryRun {
    Run(Box<Run>),
    DryRun(DryRun),
}

/// Done.
#[derive(ToSchema)]
pub struct Success {
    success: bool,
}

/// An agent app in its current version.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct App {
    id: Uuid,
    name: String,
    description: String,
    version: i32,
    inputs: Vec<InputField>,
    tools: Vec<String>,
    /// The model that runs use unless they name another one.
    chat_model_id: String,
    limits: Limits,
    #[schema(required, value_type = Option<BTreeMap<String, Value>>)]
    output_schema: Option<Value>,
    archived: bool,
    created_at: Time,
    updated_at: Time,
}

/// One field of an app's form.
#[derive(ToSchema)]
pub struct InputField {
    name: String,
    label: String,
    #[schema(pattern = "^(text|number|boolean|select|file)$")]
    r#type: String,
    required: bool,
    #[schema(required, value_type = Value)]
    default: Value,
    /// Of a select.
    options: Vec<String>,
}

/// Budgets of one run.
#[derive(ToSchema)]
pub struct Limits {
    steps: u32,
    seconds: u32,
    tokens: u32,
}

/// A page of apps.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AppList {
    data: Vec<App>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A language model.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Model {
    id: String,
    name: String,
    /// Used where neither run nor app names one.
    default: bool,
    tools: bool,
    json_schema: bool,
    /// Tokens.
    #[schema(required)]
    context_window: Option<u32>,
}

/// All models.
#[derive(ToSchema)]
pub struct ModelList {
    data: Vec<Model>,
}

/// The key's account.
#[derive(ToSchema)]
pub struct Me {
    user: User,
    limits: PlanLimits,
    key: Key,
}

/// The account.
#[derive(ToSchema)]
pub struct User {
    email: String,
    plan: String,
}

/// What the plan allows; null is no limit.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PlanLimits {
    requests_per_minute: u32,
    api_keys: u32,
    running_runs: u32,
    #[schema(required)]
    max_steps: Option<u32>,
    #[schema(required)]
    max_seconds: Option<u32>,
    #[schema(required)]
    max_tokens: Option<u32>,
}

/// The key that was sent.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Key {
    /// Its first characters.
    prefix: String,
    name: String,
    /// The one app that it may see.
    #[schema(required)]
    app_id: Option<Uuid>,
    #[schema(required)]
    expires_at: Option<Time>,
}

/// A problem (RFC 9457).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Problem {
    /// A page that explains it.
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong and what to change.
    detail: String,
    code: String,
    request_id: String,
    #[schema(value_type = Option<Vec<FieldProblem>>, nullable = false)]
    errors: Option<Vec<FieldProblem>>,
}

/// One mistake in a request; one of `pointer` and `parameter` says where.
#[derive(ToSchema)]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body.
    #[schema(value_type = Option<String>, nullable = false)]
    pointer: Option<String>,
    /// Query parameter.
    #[schema(value_type = Option<String>, nullable = false)]
    parameter: Option<String>,
    code: String,
    message: String,
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
