//! The app file as the OpenAPI document describes it. `gateway_domain::apps` reads it and lists every error.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::api::types::FileLimits;

/// An app file: the whole definition of an app, with the names of its TOML form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Extract", "prompt": "Who is this text about?\n\n{{ text }}\n",
    "inputs": [{"name": "text", "type": "text", "required": true}],
    "output": {"schema": {"type": "object", "required": ["name"]}},
    "limits": {"steps": 3, "tokens": 4000},
}))]
#[expect(dead_code, reason = "describes the request")]
pub(super) struct AppFile {
    /// Unique among the account's apps that are not archived.
    #[schema(max_length = 100, example = "Extract")]
    name: String,
    #[schema(example = "Reads a person's name, age and city out of a text.")]
    description: Option<String>,
    /// The system message.
    #[schema(example = "You read facts out of texts.")]
    instructions: Option<String>,
    /// The user message: a template over the inputs.
    #[schema(example = "Who is this text about?\n\n{{ text }}\n")]
    prompt: String,
    #[schema(max_items = 50)]
    inputs: Option<Vec<AppFileInput>>,
    /// The model of runs that name no other model; the installation's default if absent.
    #[schema(example = "main")]
    model: Option<String>,
    tools: Option<AppFileTools>,
    output: Option<AppFileOutput>,
    limits: Option<FileLimits>,
    fetch: Option<AppFileFetch>,
}

/// The names of tools, or a table with the settings of each tool.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(example = json!(["python", "read_file"]))]
#[expect(dead_code, reason = "describes the request")]
pub(super) enum AppFileTools {
    Names(Vec<String>),
    Settings(BTreeMap<String, AppFileTool>),
}

/// The settings of a tool. Most tools have none.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(super) struct AppFileTool {
    /// Only of `web_search`: a search provider of the installation; its default if absent.
    #[schema(example = "brave")]
    provider: Option<String>,
}

/// One field of an app's form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(super) struct AppFileInput {
    /// The key in `inputs` of a run, and the variable in the prompt.
    #[schema(max_length = 64, pattern = "^[A-Za-z][A-Za-z0-9_]*$", example = "text")]
    name: String,
    /// For people; the name if absent.
    #[schema(example = "Text")]
    label: Option<String>,
    r#type: super::InputKind,
    /// Whether a run must give it.
    required: Option<bool>,
    /// The value of runs that give none.
    #[schema(value_type = Option<Value>)]
    default: Option<Value>,
    /// The values of a select.
    #[schema(example = json!(["red", "blue"]))]
    options: Option<Vec<String>>,
}

/// The shape that an app guarantees for its result.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(super) struct AppFileOutput {
    /// A JSON Schema, or one as JSON in a string.
    schema: Value,
}

/// Which pages `fetch_url` may read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(super) struct AppFileFetch {
    /// The only hosts that may be contacted. Every host, if there are none.
    #[schema(max_items = 100, example = json!(["example.org", "*.example.net"]))]
    hosts: Option<Vec<String>>,
    urls: Option<super::FetchKind>,
}
