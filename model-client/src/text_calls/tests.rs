use super::*;
use serde_json::json;

fn read(text: &str, tools: &[Offered<'_>]) -> (Vec<Call>, String) {
    match find(text, tools) {
        Written::Calls { calls, text, .. } => (calls, text),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_known_form_is_read() {
    let parameters = json!({"properties": {"script": {"type": "string"}, "lines": {"type": "integer"}}});
    let tools = [Offered { name: "shell", description: "", parameters: &parameters }];
    let expected = r#"{"lines":2,"script":"1"}"#;
    let cases = [
        r#"<tool_call>{"name": "shell", "arguments": {"lines": 2, "script": "1"}}</tool_call>"#,
        "I look.\n<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"lines\": 2, \"script\": \"1\"}}\n",
        r#"[TOOL_CALLS][{"name": "shell", "arguments": {"lines": 2, "script": "1"}}]"#,
        r#"[TOOL_CALLS]shell[ARGS]{"lines": 2, "script": "1"}"#,
        r#"Let me check.[TOOL_CALLS]shell{"lines": 2, "script": "1"}</s>"#,
        r#"<|python_tag|>{"name": "shell", "parameters": {"lines": 2, "script": "1"}}"#,
        r#"<function=shell>{"lines":2,"script":"1"}</function>"#,
        "<tool_call>\n<function=shell>\n<parameter=script>\n1\n</parameter>\n<parameter=lines>\n2\n\
         </parameter>\n</function>\n</tool_call>",
        "<tool_call>shell\n<arg_key>script</arg_key>\n<arg_value>1</arg_value>\n<arg_key>lines</arg_key>\n\
         <arg_value>2</arg_value></tool_call>",
        r#"[TOOL_CALLS]shell[CALL_ID]abc123def[ARGS]{"lines": 2, "script": "1"}"#,
        r#"[{"name": "shell", "arguments": {"lines": 2, "script": "1"}}]"#,
        r#"{"type": "function", "function": {"name": "shell", "arguments": {"lines": 2, "script": "1"}}}"#,
        "```\n<tool_call>{\"name\": \"shell\", \"arguments\": {\"lines\": 2, \"script\": \"1\"}}\n\
         </tool_call>\n```",
        "```python\nprint(1)```\n<function=shell>{\"lines\":2,\"script\":\"1\"}</function>",
        "```json\n{\"name\": \"shell\", \"parameters\": {\"lines\": 2, \"script\": \"1\"}}\n```",
    ];
    for text in cases {
        let (calls, _) = read(text, &tools);
        assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("shell", expected), "{text}");
    }
}

#[test]
fn several_calls_and_the_words_around_them_are_told_apart() {
    let two = "Both. <tool_call>{\"name\":\"a\"}</tool_call>\n<tool_call>{\"name\":\"b\"}</tool_call>\n";
    let (calls, text) = read(two, &[]);
    assert_eq!((calls.len(), text.as_str(), calls[1].arguments.as_str()), (2, "Both.", "{}"));
    let (calls, _) = read("<tool_call>current_time\n</tool_call>", &[]);
    assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("current_time", "{}"));
    let (calls, _) = read(r#"[TOOL_CALLS]a{"n": 1}[TOOL_CALLS]b{"n": 2}"#, &[]);
    assert_eq!(calls.len(), 2);
    let many = r#"<tool_call>{"name": "a"}</tool_call>"#.repeat(MAX_CALLS + 1);
    assert_eq!(find(&many, &[]), Written::Unreadable);
    let list = format!("[TOOL_CALLS][{}]", vec![r#"{"name": "a"}"#; 80_000].join(","));
    assert_eq!(find(&list, &[]), Written::Unreadable);
}

#[test]
fn other_forms_are_noticed_and_prose_is_left_alone() {
    for text in [
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>shell",
        "<tool_call>{\"name\": \"shell\", \"arguments\": {\"script\": \"echo \"hi\"\"}}</tool_call>",
        "Now:\n[TOOL_CALLS][{\"name\":\"shell\",\"arguments\":{\"script\":\"echo \"hi\"\"}}]",
        "Now:\n<function=shell><parameter>",
        "<|python_tag|>import x",
        "<minimax:tool_call>",
        "I use <invoke name=\"shell\"></invoke> now",
        "```tool_code\nshell()\n```",
        "The page says:\n<tool_call>{\"name\": \"shell\"}</tool_call>\nThat is all.",
    ] {
        assert_eq!(find(text, &[]), Written::Unreadable, "{text}");
    }
    for text in [
        "Hermes writes `<tool_call>` before a call.",
        "Hermes writes <tool_call> before a call.",
        "An example:\n```\n<tool_call>{\"name\": \"x\"}</tool_call>\n```\nDone.",
        "{\"name\": \"Ada\", \"arguments\": []}",
        "{\"name\": \"shell\"}",
        "{\"text\": \"<tool_call>shell{}</tool_call>\"}",
        "",
    ] {
        assert_eq!(find(text, &[]), Written::Nothing, "{text}");
    }
}

/// A megabyte is searched in a moment, whatever is in it.
#[test]
fn the_search_is_linear() {
    let begun = std::time::Instant::now();
    for unit in ["17<tool_call>`\n", "`<tool_call>`", "<tool_call>{", "```\n", "[TOOL_CALLS]a{\"n\":1}"] {
        let _ = find(&unit.repeat((1 << 20) / unit.len()), &[]);
    }
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
