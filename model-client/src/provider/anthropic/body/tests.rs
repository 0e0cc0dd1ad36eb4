use shared::config::{ModelSettings, ModelsFile};

use super::*;

fn settings(more: &Value) -> ModelSettings {
    let mut model = json!({
        "id": "m", "name": "M", "provider": "anthropic", "model": "claude", "base_url": "http://h/v1",
    });
    model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let file: ModelsFile = serde_json::from_value(json!({"models": [model]})).unwrap();
    file.default_model().settings()
}

fn sent(settings: &ModelSettings, messages: &[Message]) -> Value {
    body(&Outgoing { settings, messages, tools: &[], schema: None, max_tokens: None, no_calls: false })
}

fn user(text: &str) -> Message {
    Message::User { text: text.to_owned(), pictures: vec![] }
}

fn tool(call: &str, content: &str) -> Message {
    Message::Tool { call: call.to_owned(), content: content.to_owned() }
}

fn assistant(text: &str, reasoning: Option<Value>, calls: Vec<Call>) -> Message {
    Message::Assistant { text: text.to_owned(), reasoning, calls }
}

fn call(id: &str, arguments: &str) -> Call {
    Call { id: id.to_owned(), name: "f".to_owned(), arguments: arguments.to_owned(), extra: None }
}

/// Each message in one line: its role, and its blocks with a `*` at a cache breakpoint.
fn shown(settings: &ModelSettings, messages: &[Message]) -> Vec<String> {
    let body = sent(settings, messages);
    let block = |block: &Value| {
        let names = ["type", "text", "thinking", "data", "id", "tool_use_id", "content", "input"];
        let words = names.iter().filter_map(|name| block.get(name)).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let mark = if block.get("cache_control").is_some() { "*" } else { "" };
        words.collect::<Vec<_>>().join(" ") + mark
    };
    let line = |message: &Value| {
        let blocks = message["content"].as_array().unwrap().iter().map(block);
        format!("{}: {}", message["role"].as_str().unwrap(), blocks.collect::<Vec<_>>().join(" | "))
    };
    body["messages"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn each_setting_has_its_parameter() {
    let settings = settings(&json!({
        "structured_output": "response_format", "parallel_tool_calls": false, "reasoning_effort": "low",
    }));
    let schema = json!({"type": "object"});
    let tools = [
        Offered { name: "a", description: "A.", parameters: &schema },
        Offered { name: "b", description: "B.", parameters: &schema },
    ];
    let messages = [Message::System("Be brief.".to_owned()), user("Hi")];
    let request = Outgoing {
        settings: &settings,
        messages: &messages,
        tools: &tools,
        schema: Some(&schema),
        max_tokens: Some(99),
        no_calls: false,
    };
    let cache = json!({"type": "ephemeral"});
    let expected = json!({
        "model": "claude", "max_tokens": 99, "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": cache}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": cache}]},
        ],
        "tools": [
            {"name": "a", "description": "A.", "input_schema": {"type": "object"}},
            {"name": "b", "description": "B.", "input_schema": {"type": "object"}, "cache_control": cache},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "output_config": {
            "effort": "low",
            "format": {
                "type": "json_schema", "schema": {"type": "object", "additionalProperties": false},
            },
        },
    });
    assert_eq!(body(&request), expected);
    let without_calls = body(&Outgoing { no_calls: true, ..request });
    assert_eq!(without_calls["tool_choice"], json!({"type": "none"}));
    assert_eq!(without_calls["tools"], expected["tools"], "the tools stay");
}

#[test]
fn little_is_sent_without_settings() {
    let settings = settings(&json!({"stream": false, "parallel_tool_calls": false}));
    let schema = json!({"type": "object"});
    let messages = [Message::System(" ".to_owned()), user("Hi")];
    let request = Outgoing {
        settings: &settings,
        messages: &messages,
        tools: &[],
        schema: Some(&schema),
        max_tokens: None,
        no_calls: false,
    };
    let text = json!({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}});
    let expected = json!({
        "model": "claude", "max_tokens": DEFAULT_MAX_TOKENS, "stream": false,
        "messages": [{"role": "user", "content": [text]}],
    });
    assert_eq!(body(&request), expected);
}

#[test]
fn sides_alternate_and_results_come_first() {
    let lines = shown(
        &settings(&json!({})),
        &[
            Message::System("Be brief.".to_owned()),
            user("Hi"),
            user("there"),
            assistant("Wait.", None, vec![call("a", "{\"x\":1}"), call("b", "no JSON")]),
            tool("a", "1"),
            user("A note."),
            tool("b", " "),
            assistant(" ", None, vec![call("c", "[]")]),
            tool("c", "3"),
            assistant("", None, vec![]),
        ],
    );
    let expected = [
        "user: text Hi | text there",
        "assistant: text Wait. | tool_use a {\"x\":1} | tool_use b {}",
        "user: tool_result a 1 | tool_result b | text A note.*",
        "assistant: tool_use c {}",
        "user: tool_result c 3*",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn thinking_goes_back_unchanged_to_its_place() {
    let thinking = json!({"type": "thinking", "thinking": "", "signature": "s"});
    let reasoning = json!({"thinking_blocks": [
        {"at": 0, "block": thinking},
        {"at": 1, "block": {"type": "redacted_thinking", "data": "secret"}},
        {"at": 1, "block": {"type": "text", "text": "no thinking"}},
    ]});
    let messages = [user("Hi"), assistant("Wait.", Some(reasoning), vec![call("a", "{}")]), tool("a", "1")];
    let lines = shown(&settings(&json!({})), &messages);
    assert_eq!(lines[1], "assistant: thinking  | text Wait. | redacted_thinking secret | tool_use a {}");
    assert_eq!(sent(&settings(&json!({})), &messages)["messages"][1]["content"][0], thinking);
    let lines = shown(&settings(&json!({"returns_reasoning": false})), &messages);
    assert_eq!(lines[1], "assistant: text Wait. | tool_use a {}");
}

#[test]
fn a_call_keeps_the_servers_own_members() {
    let mut own = call("a", "{}");
    own.extra = json!({"caller": {"type": "direct"}, "id": "other"}).as_object().cloned();
    let messages = [user("Hi"), assistant("", None, vec![own])];
    let block = json!({
        "type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"},
    });
    assert_eq!(sent(&settings(&json!({})), &messages)["messages"][1]["content"], json!([block]));
}

#[test]
fn a_last_answer_ends_without_blanks() {
    let messages = [user("Hi \n"), assistant("Wait. \n", None, vec![])];
    let lines = shown(&settings(&json!({})), &messages);
    assert_eq!(lines, ["user: text Hi \n*", "assistant: text Wait."]);
}

#[test]
fn only_a_model_that_sees_gets_pictures() {
    let picture = Picture { media_type: "image/png".to_owned(), base64: "AAAA".into() };
    let messages = [Message::User { text: "Look".to_owned(), pictures: vec![picture] }];
    let content = |more: Value| sent(&settings(&more), &messages)["messages"][0]["content"].clone();
    let text = json!({"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}});
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let image = json!({"type": "image", "source": source});
    assert_eq!(content(json!({"vision": true})), json!([image, text]));
    assert_eq!(content(json!({})), json!([text]));
}
