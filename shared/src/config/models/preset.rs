//! What is known of well-known servers, by the host of `base_url`. The models file overrides it.

use super::settings::{InstructionsRole, Provider, StructuredOutput, TokenParameter};

/// The settings that servers differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preset {
    pub(super) token_parameter: TokenParameter,
    pub(super) instructions_role: InstructionsRole,
    pub(super) stream_usage: bool,
    pub(super) structured_output: StructuredOutput,
    pub(super) tools_with_schema: bool,
    pub(super) returns_reasoning: bool,
    pub(super) timeout_seconds: u32,
}

const USUAL_TIMEOUT_SECONDS: u32 = 60;
/// Models that think in silence.
const LONG_TIMEOUT_SECONDS: u32 = 300;

/// What most servers of chat completions take.
const USUAL: Preset = Preset {
    token_parameter: TokenParameter::MaxTokens,
    instructions_role: InstructionsRole::System,
    stream_usage: true,
    structured_output: StructuredOutput::ResponseFormat,
    tools_with_schema: false,
    returns_reasoning: false,
    timeout_seconds: USUAL_TIMEOUT_SECONDS,
};

const OPENAI: Preset = Preset {
    token_parameter: TokenParameter::MaxCompletionTokens,
    tools_with_schema: true,
    timeout_seconds: LONG_TIMEOUT_SECONDS,
    ..USUAL
};

/// A host matches a name if it is the name or ends in a dot and the name.
const HOSTS: &[(&str, Preset)] = &[
    ("api.openai.com", OPENAI),
    ("openai.azure.com", OPENAI),
    ("services.ai.azure.com", OPENAI),
    ("cognitiveservices.azure.com", OPENAI),
    (
        "generativelanguage.googleapis.com",
        Preset { returns_reasoning: true, timeout_seconds: LONG_TIMEOUT_SECONDS, ..USUAL },
    ),
    ("openrouter.ai", Preset { returns_reasoning: true, ..USUAL }),
    (
        "api.deepseek.com",
        Preset {
            structured_output: StructuredOutput::JsonObject,
            returns_reasoning: true,
            timeout_seconds: LONG_TIMEOUT_SECONDS,
            ..USUAL
        },
    ),
    // It rejects members that it does not know, and sends the usage anyway.
    ("api.mistral.ai", Preset { stream_usage: false, ..USUAL }),
    // It has no structured output in a stream.
    (
        "api.groq.com",
        Preset {
            token_parameter: TokenParameter::MaxCompletionTokens,
            structured_output: StructuredOutput::Words,
            ..USUAL
        },
    ),
    ("api.cerebras.ai", Preset { token_parameter: TokenParameter::MaxCompletionTokens, ..USUAL }),
    ("api.minimax.io", Preset { returns_reasoning: true, ..USUAL }),
    ("api.moonshot.ai", Preset { returns_reasoning: true, ..USUAL }),
    ("api.x.ai", OPENAI),
];

/// The preset of the server, or else of its protocol.
pub(super) fn of(base_url: Option<&url::Url>, provider: Provider) -> Preset {
    match provider {
        Provider::Openai => {
            let host = base_url.and_then(url::Url::host_str).unwrap_or_default();
            let is =
                |name: &str| host.strip_suffix(name).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
            HOSTS.iter().find(|(name, _)| is(name)).map_or(USUAL, |(_, preset)| *preset)
        }
        Provider::OpenaiResponses => Preset {
            tools_with_schema: true,
            returns_reasoning: true,
            timeout_seconds: LONG_TIMEOUT_SECONDS,
            ..USUAL
        },
        // Not all models have structured output; all of them call tools.
        Provider::Anthropic => Preset {
            structured_output: StructuredOutput::Tool,
            tools_with_schema: true,
            returns_reasoning: true,
            ..USUAL
        },
        // Its scripts read the schema of the request. They follow no other schema than those of the samples,
        // so it does not count as enforced.
        Provider::Demo => {
            Preset { structured_output: StructuredOutput::JsonObject, tools_with_schema: true, ..USUAL }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_belongs_to_a_host_and_its_subdomains() {
        let of = |url: &str| of(Some(&url.parse().unwrap()), Provider::Openai);
        assert_eq!(of("https://api.openai.com/v1").token_parameter, TokenParameter::MaxCompletionTokens);
        assert!(of("https://my.openai.azure.com/openai/v1").tools_with_schema);
        assert_eq!(of("https://notapi.openai.com.example/v1"), USUAL);
        assert_eq!(of("http://127.0.0.1:8000/v1"), USUAL);
    }
}
