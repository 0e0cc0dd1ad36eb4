//! The definition of an agent app, as a version stores it. The gateway checks it on import and validates inputs
//! against it; the run-worker executes it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tools::FILE_READERS;

/// Instructions, prompt, inputs, model and limits of one version. Fields that this build does not know are ignored: a
/// newer gateway may have stored them. Importing refuses them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppDefinition {
    /// Unique among its owner's apps.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The system message.
    #[serde(default)]
    pub instructions: String,
    /// The user message: a minijinja template over the inputs.
    pub prompt: String,
    /// The form.
    #[serde(default)]
    pub inputs: Vec<InputField>,
    /// Default model; the installation's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Names of tools.
    #[serde(default)]
    pub tools: Vec<String>,
    /// The shape of the result, where the app guarantees one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Budgets.
    #[serde(default)]
    pub limits: Limits,
}

impl AppDefinition {
    /// Whether its agent can look at files.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        self.tools.iter().any(|tool| FILE_READERS.contains(&tool.as_str()))
    }
}

/// What an app promises of its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// A JSON Schema; see [`crate::output_schema`].
    pub schema: Value,
}

/// One field of the form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputField {
    /// The key in `inputs` and the variable in the prompt.
    pub name: String,
    /// For people; the name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What values it takes.
    pub r#type: InputType,
    /// Whether a run must give it.
    #[serde(default)]
    pub required: bool,
    /// Used where a run does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The values of a select.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The types of input fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// A string.
    Text,
    /// A JSON number.
    Number,
    /// true or false.
    Boolean,
    /// One of the options.
    Select,
    /// A file of the caller's: in a run, its path in the workspace.
    File,
}

/// Budgets of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Model answers.
    pub steps: u32,
    /// Wall time from the first start, over all attempts.
    pub seconds: u32,
    /// Input and output tokens together.
    pub tokens: u32,
    /// Calls of tools.
    pub tool_calls: u32,
    /// Bytes that the run brings forth: the model's words and arguments, tools' results, artifacts.
    pub output_bytes: u32,
    /// Bytes of the run's workspace.
    pub workspace_bytes: u32,
}

impl Default for Limits {
    /// Twenty steps, ten minutes, 200,000 tokens, a hundred calls, 8 MiB, 100 MiB of files: enough for an afternoon's task of a person,
    /// too little to burn a month's bill.
    fn default() -> Self {
        Self {
            steps: 20,
            seconds: 600,
            tokens: 200_000,
            tool_calls: 100,
            output_bytes: 8 << 20,
            workspace_bytes: 100 << 20,
        }
    }
}

impl Limits {
    /// The same under a plan's ceilings.
    #[must_use]
    pub fn under(self, plan: Option<&crate::config::Plan>) -> Self {
        let lower = |limit: u32, ceiling: Option<u32>| ceiling.map_or(limit, |ceiling| limit.min(ceiling));
        plan.map_or(self, |plan| Self {
            steps: lower(self.steps, plan.max_steps),
            seconds: lower(self.seconds, plan.max_seconds),
            tokens: lower(self.tokens, plan.max_tokens),
            ..self
        })
    }
}
