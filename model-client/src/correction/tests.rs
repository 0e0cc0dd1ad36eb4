use super::*;

fn settings() -> ModelSettings {
    let text = "[[models]]\nid='a'\nname='n'\nprovider='openai'\nmodel='m'\nbase_url='http://h/v1'\n\
                tools_with_schema=true\nparallel_tool_calls=true\nreasoning_effort='low'\n";
    toml::from_str::<shared::config::ModelsFile>(text).unwrap().default_model().settings()
}

#[test]
fn a_refusal_that_names_a_parameter_says_what_to_write() {
    let sent = Sent { tools: true, schema: true, max_tokens: Some(200_000), no_calls: true };
    let cases = [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
             'max_completion_tokens' instead.",
            "token_parameter = \"max_completion_tokens\"",
        ),
        (
            "max_tokens is too large: 200000. This model supports at most 16384 completion tokens",
            "max_output_tokens = 16384",
        ),
        ("the valid range of max_tokens is [1, 8192]", "max_output_tokens = 8192"),
        ("Unrecognized request argument supplied: stream_options", "stream_usage = false"),
        ("\"tools\" is incompatible with \"response_format\"", "tools_with_schema = false"),
        (
            "Function calling with a response mime type: 'application/json' is unsupported",
            "tools_with_schema = false",
        ),
        ("This response_format type is unavailable now", "structured_output = \"words\""),
        ("Unsupported value: 'tool_choice' does not support 'none'", "tool_choice = false"),
        ("extra_forbidden: parallel_tool_calls", "# leave out parallel_tool_calls"),
        ("Unsupported parameter: 'reasoning_effort'", "# leave out reasoning_effort"),
        ("System role not supported", "instructions_role = \"user\""),
        (
            "'messages[0].role' does not support 'system', use 'developer'",
            "instructions_role = \"developer\"",
        ),
        ("Missing `reasoning_content` field in the assistant message", "returns_reasoning = true"),
        (
            r#"{"error":{"message":"Unsupported 'max_tokens'. Use 'max_completion_tokens'","code":400}}"#,
            "token_parameter = \"max_completion_tokens\"",
        ),
        ("Unsupported value: 'stream' does not support true", "stream = false"),
    ];
    for (body, expected) in cases {
        let found = find(400, body, &settings(), &sent).map(Correction::setting);
        assert_eq!(found.as_deref(), Some(expected), "{body}");
    }
    for (status, body) in [
        (401, "max_tokens"),
        (500, "error while streaming; contact support"),
        (400, "Invalid value for 'temperature'"),
        (400, ""),
    ] {
        assert_eq!(find(status, body, &settings(), &sent), None, "{body}");
    }
    let this = find(400, "Invalid schema for response_format 'result'", &settings(), &sent);
    assert!(this.is_some_and(|correction| !correction.is_lasting()));
    let mut thinks = settings();
    thinks.returns_reasoning = true;
    let found = |body| find(400, body, &thinks, &sent);
    assert_eq!(found("Invalid `signature` in `thinking` block"), Some(Correction::ThisReasoning));
    let unsupported = found("Encrypted content is not supported with this model");
    assert_eq!(unsupported, Some(Correction::ReturnsReasoning(false)));
    let nothing = Sent { tools: false, schema: false, max_tokens: None, no_calls: false };
    assert_eq!(find(400, "max_tokens, response_format and tool_choice", &settings(), &nothing), None);
}
