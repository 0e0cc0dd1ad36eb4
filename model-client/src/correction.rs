//! Finds the correction for a refusal that names a parameter. Pure. A correction is a setting of the models
//! file, so the log can name the line to write.

use shared::config::{InstructionsRole, ModelSettings, Provider, StructuredOutput, TokenParameter};

use super::json::told;
use super::overflow::number_after;

/// A setting that the server's refusal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Correction {
    TokenParameter(TokenParameter),
    MaxOutputTokens(u32),
    StreamUsage,
    Stream,
    ToolsWithSchema,
    ToolChoice,
    StructuredOutput,
    /// The server refuses this schema, not every schema.
    ThisSchema,
    ParallelToolCalls,
    ReasoningEffort,
    ReturnsReasoning(bool),
    /// The server refuses the reasoning of this conversation.
    ThisReasoning,
    InstructionsRole(InstructionsRole),
}

/// What was in the refused request.
pub(crate) struct Sent {
    pub(crate) tools: bool,
    pub(crate) schema: bool,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) no_calls: bool,
}

/// Statuses of refused requests. Some servers answer 500 if their chat template refuses a message.
const STATUSES: [u16; 4] = [400, 422, 500, 501];
/// A smaller number in a refusal is not the limit of an answer.
const LEAST_OUTPUT: u32 = 256;

/// The correction that the refusal names, if the request had the parameter.
pub(crate) fn find(status: u16, body: &str, settings: &ModelSettings, sent: &Sent) -> Option<Correction> {
    if !STATUSES.contains(&status) {
        return None;
    }
    let lower = told(body);
    if status >= 500 {
        return of_role(&lower, settings);
    }
    let names = |word: &str| lower.contains(word);
    if settings.stream && settings.stream_usage && (names("stream_options") || names("include_usage")) {
        return Some(Correction::StreamUsage);
    }
    if settings.reasoning_effort.is_some() && EFFORT.into_iter().any(names) {
        return Some(Correction::ReasoningEffort);
    }
    if sent.no_calls && TOOL_CHOICE.into_iter().any(names) {
        return Some(Correction::ToolChoice);
    }
    if settings.parallel_tool_calls.is_some() && (names("parallel_tool") || names("parallel tool")) {
        return Some(Correction::ParallelToolCalls);
    }
    of_schema(&lower, settings, sent)
        .or_else(|| of_token_parameter(&lower, settings, sent))
        .or_else(|| of_reasoning(&lower, settings))
        .or_else(|| of_role(&lower, settings))
        .or_else(|| {
            let refused = settings.stream && (names("'stream'") || names("\"stream\"") || names("streaming"));
            (refused && names("support")).then_some(Correction::Stream)
        })
}

/// The names of the parameter in the three protocols.
const EFFORT: [&str; 3] = ["reasoning_effort", "reasoning.effort", "output_config.effort"];
const TOOL_CHOICE: [&str; 3] = ["tool_choice", "tool choice", "toolchoice"];
/// Words of a refusal that is about what the schema says.
const SCHEMA_FAULTS: [&str; 5] = [
    "invalid schema",
    "json schema error",
    "unsupported json schema",
    "unsupported keyword",
    "additionalproperties",
];
/// Words of a refusal that is about the parameter itself.
const UNSUPPORTED: [&str; 9] = [
    "unsupported",
    "not supported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra_forbidden",
    "extra inputs",
    "not permitted",
];
/// What stands before the highest limit that a server takes.
const BEFORE_LIMIT: [&str; 7] =
    ["at most", "less than or equal to", "is [1,", "must be <=", "cannot exceed", "maximum of", "> "];

fn of_schema(lower: &str, settings: &ModelSettings, sent: &Sent) -> Option<Correction> {
    const NAMES: [&str; 7] = [
        "response_format",
        "json_schema",
        "response mime type",
        "structured output",
        "json mode",
        "text.format",
        "output_config",
    ];
    if !sent.schema || !NAMES.iter().any(|name| lower.contains(name)) {
        return None;
    }
    if SCHEMA_FAULTS.iter().any(|fault| lower.contains(fault)) {
        return Some(Correction::ThisSchema);
    }
    let about_tools = lower.contains("tool") || lower.contains("function");
    if sent.tools && settings.tools_with_schema && about_tools {
        Some(Correction::ToolsWithSchema)
    } else {
        Some(Correction::StructuredOutput)
    }
}

fn of_token_parameter(lower: &str, settings: &ModelSettings, sent: &Sent) -> Option<Correction> {
    let most = sent.max_tokens?;
    let names = |word: &str| lower.contains(word);
    if !["max_tokens", "max_completion_tokens", "max_output_tokens"].into_iter().any(names) {
        return None;
    }
    if !UNSUPPORTED.into_iter().any(names) {
        // `max_tokens is too large: 200000. This model supports at most 16384 completion tokens`
        let limit = BEFORE_LIMIT.iter().find_map(|phrase| number_after(lower, phrase));
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        if let Some(limit) = limit.filter(|limit| (LEAST_OUTPUT..most).contains(limit)) {
            return Some(Correction::MaxOutputTokens(limit));
        }
    }
    if settings.provider != Provider::Openai {
        return None;
    }
    let other = match settings.token_parameter {
        TokenParameter::MaxTokens if names("max_completion_tokens") => TokenParameter::MaxCompletionTokens,
        TokenParameter::MaxCompletionTokens if names("'max_tokens'") => TokenParameter::MaxTokens,
        _ => TokenParameter::None,
    };
    (settings.token_parameter != TokenParameter::None).then_some(Correction::TokenParameter(other))
}

fn of_reasoning(lower: &str, settings: &ModelSettings) -> Option<Correction> {
    let named = [
        "reasoning_content",
        "reasoning_details",
        "thought_signature",
        "encrypted content",
        "encrypted_content",
        "thinking` block",
        "thinking block",
    ];
    if !named.iter().any(|name| lower.contains(name)) {
        return None;
    }
    let wanted = ["missing", "must be passed", "must be provided", "required"];
    let is_wanted = wanted.iter().any(|word| lower.contains(word));
    let is_unsupported = UNSUPPORTED.iter().any(|word| lower.contains(word));
    match (settings.returns_reasoning, is_wanted) {
        (false, true) => Some(Correction::ReturnsReasoning(true)),
        (true, false) if is_unsupported => Some(Correction::ReturnsReasoning(false)),
        (true, false) => Some(Correction::ThisReasoning),
        _ => None,
    }
}

fn of_role(lower: &str, settings: &ModelSettings) -> Option<Correction> {
    let about_role = lower.contains("role");
    let role = match settings.instructions_role {
        InstructionsRole::Developer if lower.contains("developer") => InstructionsRole::System,
        InstructionsRole::System if about_role && lower.contains("system") && lower.contains("developer") => {
            InstructionsRole::Developer
        }
        InstructionsRole::System if about_role && lower.contains("system") => InstructionsRole::User,
        _ => return None,
    };
    Some(Correction::InstructionsRole(role))
}

impl Correction {
    /// Whether it holds for all requests to the model.
    pub(crate) const fn is_lasting(self) -> bool {
        !matches!(self, Self::ThisSchema | Self::ThisReasoning)
    }

    pub(crate) fn apply(self, settings: &mut ModelSettings) {
        match self {
            Self::TokenParameter(parameter) => settings.token_parameter = parameter,
            Self::MaxOutputTokens(most) => settings.max_output_tokens = Some(most),
            Self::StreamUsage => settings.stream_usage = false,
            Self::Stream => settings.stream = false,
            Self::ToolsWithSchema => settings.tools_with_schema = false,
            Self::ToolChoice => settings.tool_choice = false,
            Self::StructuredOutput | Self::ThisSchema => {
                settings.structured_output = StructuredOutput::Words;
            }
            Self::ParallelToolCalls => settings.parallel_tool_calls = None,
            Self::ReasoningEffort => settings.reasoning_effort = None,
            Self::ReturnsReasoning(returns) => settings.returns_reasoning = returns,
            Self::ThisReasoning => settings.returns_reasoning = false,
            Self::InstructionsRole(role) => settings.instructions_role = role,
        }
    }

    /// The line for the models file.
    pub(crate) fn setting(self) -> String {
        match self {
            Self::TokenParameter(parameter) => {
                format!("token_parameter = {:?}", parameter.name().unwrap_or("none"))
            }
            Self::MaxOutputTokens(most) => format!("max_output_tokens = {most}"),
            Self::StreamUsage => "stream_usage = false".to_owned(),
            Self::Stream => "stream = false".to_owned(),
            Self::ToolsWithSchema => "tools_with_schema = false".to_owned(),
            Self::ToolChoice => "tool_choice = false".to_owned(),
            Self::StructuredOutput | Self::ThisSchema => "structured_output = \"words\"".to_owned(),
            Self::ParallelToolCalls => "# leave out parallel_tool_calls".to_owned(),
            Self::ReasoningEffort => "# leave out reasoning_effort".to_owned(),
            Self::ThisReasoning => "returns_reasoning = false".to_owned(),
            Self::ReturnsReasoning(returns) => format!("returns_reasoning = {returns}"),
            Self::InstructionsRole(role) => format!("instructions_role = {:?}", role.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
