//! What a create takes and answers. The requests are read by `gateway_domain::runs::request`, which lists
//! every error; the request types here only describe them in the OpenAPI document.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use shared::deliveries::WebhookEvent;
use shared::ids::{AppId, RunId};
use shared::runs::{RunStatus, RunView};
use utoipa::ToSchema;
use uuid::Uuid;

/// A run to create.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(in crate::api) struct CreateRun {
    /// The app to run.
    app_id: Uuid,
    /// Values for the app's input fields.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    inputs: Option<Value>,
    /// A model of /models that replaces the app's model.
    chat_model_id: Option<String>,
    /// Receives a signed POST when the run is over.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    webhook_url: Option<String>,
    /// The events that send a webhook: by default `run.completed`, `run.failed` and `run.cancelled`.
    #[schema(min_items = 1, max_items = 5, example = json!(["run.completed", "run.artifact"]))]
    webhook_events: Option<Vec<WebhookEvent>>,
    /// At most 16 pairs, returned unchanged. Keys have at most 64 and values at most 512 characters.
    metadata: Option<BTreeMap<String, String>>,
    /// A run that has not started by then fails with `queue_timeout`. 86,400 by default.
    #[schema(minimum = 1, maximum = 604_800)]
    queue_timeout_seconds: Option<i32>,
}

/// A run to create, with files.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the request")]
pub(in crate::api) struct CreateRunForm {
    /// The app to run.
    app_id: Uuid,
    /// Values for the app's input fields, as JSON. The file for an input of the type `file` is the part with
    /// the name of that input.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    inputs: Option<Value>,
    /// A model of /models that replaces the app's model.
    chat_model_id: Option<String>,
    /// Receives a signed POST when the run is over.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    webhook_url: Option<String>,
    /// The events that send a webhook: by default `run.completed`, `run.failed` and `run.cancelled`.
    #[schema(min_items = 1, max_items = 5, example = json!(["run.completed", "run.artifact"]))]
    webhook_events: Option<Vec<WebhookEvent>>,
    /// Pairs as JSON, with the limits of the JSON form.
    metadata: Option<BTreeMap<String, String>>,
    /// A run that has not started by then fails with `queue_timeout`. 86,400 by default.
    #[schema(minimum = 1, maximum = 604_800)]
    queue_timeout_seconds: Option<i32>,
    /// Files that no input names.
    #[schema(value_type = Option<Vec<String>>, format = Binary)]
    files: Option<Vec<u8>>,
}

/// A run that was accepted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct Accepted<'a> {
    #[schema(value_type = Uuid)]
    pub(super) id: RunId,
    pub(super) status: RunStatus,
    #[schema(value_type = Uuid)]
    pub(super) app_id: AppId,
    #[schema(value_type = String)]
    pub(super) app_name: &'a str,
}

/// What a dry run found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct DryRun<'a> {
    /// Always true: an invalid request gets a problem.
    pub(super) valid: bool,
    #[schema(value_type = Uuid)]
    pub(super) app_id: AppId,
    #[schema(value_type = String)]
    pub(super) app_name: &'a str,
    pub(super) app_version: i32,
    pub(super) chat_model_id: String,
}

/// The finished run, or what a dry run found.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the response")]
pub(in crate::api) enum RunOrDryRun<'a> {
    Run(Box<RunView>),
    DryRun(DryRun<'a>),
}
