//! How one model's server wants to be asked: the settings of the models file, with the preset of its server
//! and the defaults filled in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Model, preset};

/// The tokens of a prompt and its answer that are not known stay `None`: no limit is sent then.
#[expect(clippy::struct_excessive_bools, reason = "each is one ability of a server")]
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSettings {
    pub provider: Provider,
    /// The server's name for the model.
    pub model: String,
    pub token_parameter: TokenParameter,
    pub instructions_role: InstructionsRole,
    pub stream: bool,
    /// Whether `stream_options.include_usage` is sent.
    pub stream_usage: bool,
    pub structured_output: StructuredOutput,
    /// Whether one request may hold tools and a response format.
    pub tools_with_schema: bool,
    /// Whether calls can be switched off with `tool_choice`.
    pub tool_choice: bool,
    /// Sent as `parallel_tool_calls` if it is set.
    pub parallel_tool_calls: Option<bool>,
    pub tools: bool,
    pub vision: bool,
    /// Whether the server wants its own reasoning fields back.
    pub returns_reasoning: bool,
    pub reasoning_effort: Option<String>,
    /// Members that the body of each request gets last.
    pub extra_body: Map<String, Value>,
    pub extra_headers: BTreeMap<String, String>,
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub timeout_seconds: u32,
    /// An answer that ends in so many bytes of one repeated passage is ended.
    pub max_repeated_bytes: usize,
}

/// The protocol of a model server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Chat completions, which most servers speak.
    Openai,
    /// OpenAI's Responses API.
    OpenaiResponses,
    /// Anthropic's Messages API.
    Anthropic,
    /// No server: a script of capi answers, for the sample apps.
    Demo,
}

/// The parameter of chat completions that limits the tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenParameter {
    MaxTokens,
    MaxCompletionTokens,
    /// The server takes no limit.
    None,
}

/// The role of the message with the app's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstructionsRole {
    System,
    Developer,
    /// For chat templates without a role for instructions.
    User,
}

/// How an answer in JSON is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// The server enforces the JSON Schema.
    ResponseFormat,
    /// The server enforces JSON; the instructions hold the schema.
    JsonObject,
    /// The model calls a tool with its answer.
    Tool,
    /// Only the instructions ask for it.
    Words,
}

impl TokenParameter {
    /// The name in a request. `None` if no limit is sent.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens => Some("max_tokens"),
            Self::MaxCompletionTokens => Some("max_completion_tokens"),
            Self::None => None,
        }
    }
}

impl InstructionsRole {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
        }
    }
}

impl StructuredOutput {
    /// The value in the models file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResponseFormat => "response_format",
            Self::JsonObject => "json_object",
            Self::Tool => "tool",
            Self::Words => "words",
        }
    }

    /// Whether the server itself can keep an answer to the schema.
    #[must_use]
    pub const fn is_enforced(self) -> bool {
        matches!(self, Self::ResponseFormat)
    }
}

impl ModelSettings {
    /// Whether a request asks the server to keep the answer to a schema or to JSON.
    #[must_use]
    pub const fn sends_schema(&self, with_tools: bool) -> bool {
        let is_format =
            matches!(self.structured_output, StructuredOutput::ResponseFormat | StructuredOutput::JsonObject);
        is_format && (self.tools_with_schema || !with_tools)
    }
}

/// Far more than a table or a list of equal rows repeats.
const DEFAULT_MAX_REPEATED_BYTES: usize = 8 << 10;

impl Model {
    /// Whether it is the demo model, which is a script, not a language model.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.provider == Provider::Demo
    }

    /// The name for people. It says whether it is the demo model.
    #[must_use]
    pub fn label(&self) -> String {
        if self.is_demo() { format!("{} (demo model)", self.name) } else { self.name.clone() }
    }

    /// The settings of the file; where it says nothing, those of the server's preset; then the defaults.
    #[must_use]
    pub fn settings(&self) -> ModelSettings {
        let preset = preset::of(self.base_url.as_ref(), self.provider);
        let stated = self.json_schema.map(|enforced| {
            if enforced { StructuredOutput::ResponseFormat } else { StructuredOutput::Words }
        });
        ModelSettings {
            provider: self.provider,
            model: self.model.clone(),
            token_parameter: self.token_parameter.unwrap_or(preset.token_parameter),
            instructions_role: self.instructions_role.unwrap_or(preset.instructions_role),
            stream: self.stream,
            stream_usage: self.stream_usage.unwrap_or(preset.stream_usage),
            structured_output: self.structured_output.or(stated).unwrap_or(preset.structured_output),
            tools_with_schema: self.tools_with_schema.unwrap_or(preset.tools_with_schema),
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            tools: self.tools,
            vision: self.vision,
            returns_reasoning: self.returns_reasoning.unwrap_or(preset.returns_reasoning),
            reasoning_effort: self.reasoning_effort.clone(),
            extra_body: self.extra_body.clone(),
            extra_headers: self.extra_headers.clone(),
            context_window: self.context_window,
            max_output_tokens: self.max_output_tokens,
            timeout_seconds: self.timeout_seconds.unwrap_or(preset.timeout_seconds),
            max_repeated_bytes: self.max_repeated_bytes.unwrap_or(DEFAULT_MAX_REPEATED_BYTES),
        }
    }
}
