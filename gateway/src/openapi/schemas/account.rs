//! Apps, models, the account.

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Time;

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
#[schema(rename_all = "camelCase")]
pub struct Limits {
    /// Model answers.
    steps: u32,
    /// From the first start, over all attempts.
    seconds: u32,
    /// Input and output together.
    tokens: u32,
    tool_calls: u32,
    /// The model's words and arguments, tools' results, artifacts.
    output_bytes: u32,
    /// Bytes of the run's files.
    workspace_bytes: u32,
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
