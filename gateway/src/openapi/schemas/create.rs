//! Creating a run.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Run, Status};

/// A run to create.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// The app to run.
    app_id: Uuid,
    /// Values for the app's input fields.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    inputs: Option<Value>,
    /// Overrides the app's model; one of /models.
    chat_model_id: Option<String>,
    /// Gets a signed POST when the run is over.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    webhook_url: Option<String>,
    /// At most 16 pairs, returned as they came; keys of 64 and values of 512 characters at most.
    metadata: Option<BTreeMap<String, String>>,
    /// Not started by then: failed with `queue_timeout`.
    #[schema(minimum = 1, maximum = 604_800, default = 86_400)]
    queue_timeout_seconds: Option<i32>,
}

/// A run to create, with files.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateRunForm {
    /// The app to run.
    app_id: Uuid,
    /// Values for the app's input fields, as JSON. A file for an input of the type `file` comes in a part of that input's name.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    inputs: Option<Value>,
    /// Overrides the app's model; one of /models.
    chat_model_id: Option<String>,
    /// Gets a signed POST when the run is over.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    webhook_url: Option<String>,
    /// Pairs as JSON; see there.
    metadata: Option<BTreeMap<String, String>>,
    /// Not started by then: failed with `queue_timeout`.
    #[schema(minimum = 1, maximum = 604_800, default = 86_400)]
    queue_timeout_seconds: Option<i32>,
    /// Files that no input names.
    #[schema(value_type = Option<Vec<String>>, format = Binary)]
    files: Option<Vec<u8>>,
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
