//! Finds tool calls that a model wrote into its text. Pure. A server without the right parser for its model
//! leaves them there. Such a text is never a result.

use serde_json::{Map, Value};

use super::{Call, Offered};

/// What the text of an answer without calls holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Calls in a known form, and the text before them.
    Calls(Vec<Call>, String),
    /// The start of a call in a form that capi does not read.
    Unreadable,
    Nothing,
}

/// Tags around calls in JSON, or in the XML of Qwen and GLM. The end may be missing.
const TAGS: [(&str, &str); 6] = [
    ("<tool_call>", "</tool_call>"),
    ("<function_call>", "</function_call>"),
    ("<|tool_call|>", "<|/tool_call|>"),
    ("<tools>", "</tools>"),
    ("<|python_tag|>", "<|eom_id|>"),
    ("[TOOL_CALLS]", "</s>"),
];
const FUNCTION: &str = "<function=";
/// The start of calls in other forms: DeepSeek, Kimi, Harmony.
const OTHER: [&str; 4] = [
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<|channel|>commentary to=",
];
/// The most calls that are read from one text.
const MAX_CALLS: usize = 32;

/// Finds calls at the start of a line, outside of code blocks.
#[must_use]
pub fn find(text: &str, tools: &[Offered<'_>]) -> Written {
    if let Some(call) = bare(text, tools) {
        return Written::Calls(vec![call], String::new());
    }
    let marks = TAGS.iter().map(|(open, _)| *open).chain([FUNCTION]).chain(OTHER);
    let Some(at) = marks.filter_map(|mark| begin_of(text, mark)).min() else { return Written::Nothing };
    let (before, written) = text.split_at(at);
    match read_all(written, tools) {
        Some(calls) => Written::Calls(calls, before.trim_end().to_owned()),
        // Prose about a tag continues after the tag.
        None if before.trim().is_empty() || written.trim_end().ends_with('>') => Written::Unreadable,
        None => Written::Nothing,
    }
}

/// The first place of a mark that begins a line and is in no code block.
fn begin_of(text: &str, mark: &str) -> Option<usize> {
    text.match_indices(mark).map(|(at, _)| at).find(|at| {
        let before = &text[..*at];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let fences = before.lines().filter(|line| line.trim_start().starts_with("```")).count();
        line.trim().is_empty() && fences % 2 == 0
    })
}

/// All calls of the text, if there is nothing else in it.
fn read_all(mut text: &str, tools: &[Offered<'_>]) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    while !text.trim().is_empty() && calls.len() < MAX_CALLS {
        text = text.trim_start();
        if let Some((open, close)) = TAGS.iter().find(|(open, _)| text.starts_with(open)) {
            let behind = &text[open.len()..];
            let (body, rest) = behind.split_once(close).unwrap_or((behind, ""));
            calls.extend(read_body(body.trim(), tools)?);
            text = rest;
        } else if text.starts_with(FUNCTION) {
            let (body, rest) = text.split_once("</function>").unwrap_or((text, ""));
            calls.push(read_function(body, tools)?);
            text = rest;
        } else {
            return None;
        }
    }
    (!calls.is_empty()).then_some(calls)
}

/// The calls between two tags.
fn read_body(body: &str, tools: &[Offered<'_>]) -> Option<Vec<Call>> {
    if body.starts_with(FUNCTION) {
        let functions = body.split("</function>").filter(|function| !function.trim().is_empty());
        return functions.map(|function| read_function(function.trim(), tools)).collect();
    }
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        let one = [value];
        let all = match &one {
            [Value::Array(all)] => all,
            one => one.as_slice(),
        };
        return all.iter().map(read_object).collect();
    }
    read_named(body).or_else(|| read_arg_keys(body, tools)).map(|call| vec![call])
}

/// `{"name": …, "arguments": {…}}`, as Hermes, Qwen, Mistral and Llama write it.
fn read_object(value: &Value) -> Option<Call> {
    let value = if value["function"].is_object() { &value["function"] } else { value };
    let name = value["name"].as_str().or(value["function"].as_str())?;
    let arguments = ["arguments", "parameters", "args"].into_iter().find_map(|key| value.get(key));
    let arguments = match arguments {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::from("{}"),
    };
    Some(call(name, arguments))
}

/// `name{…}` or `name[ARGS]{…}`, as newer Mistral models write it.
fn read_named(body: &str) -> Option<Call> {
    let at = body.find('{')?;
    let name = body[..at].trim_end_matches("[ARGS]").trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let arguments = serde_json::from_str::<Map<String, Value>>(&body[at..]).ok()?;
    (!name.is_empty() && name.chars().all(is_name)).then(|| call(name, Value::Object(arguments).to_string()))
}

/// `<function=name>{…}`, or with `<parameter=key>value</parameter>` (Qwen's coders).
fn read_function(text: &str, tools: &[Offered<'_>]) -> Option<Call> {
    let (name, body) = text.strip_prefix(FUNCTION)?.split_once('>')?;
    let body = body.trim();
    if serde_json::from_str::<Map<String, Value>>(body).is_ok() {
        return Some(call(name, body.to_owned()));
    }
    let mut arguments = Map::new();
    for parameter in body.split("<parameter=").skip(1) {
        let (key, value) = parameter.split_once('>')?;
        let (value, _) = value.split_once("</parameter>").unwrap_or((value, ""));
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        arguments.insert(key.trim().to_owned(), typed(value, name, key.trim(), tools));
    }
    let has_any = !arguments.is_empty() || body.is_empty();
    has_any.then(|| call(name, Value::Object(arguments).to_string()))
}

/// `name`, then `<arg_key>…</arg_key><arg_value>…</arg_value>` (GLM).
fn read_arg_keys(body: &str, tools: &[Offered<'_>]) -> Option<Call> {
    let (name, rest) = body.split_once("<arg_key>")?;
    let mut arguments = Map::new();
    for pair in rest.split("<arg_key>") {
        let (key, behind) = pair.split_once("</arg_key>")?;
        let (_, value) = behind.split_once("<arg_value>")?;
        let (value, _) = value.split_once("</arg_value>")?;
        arguments.insert(key.trim().to_owned(), typed(value, name.trim(), key.trim(), tools));
    }
    Some(call(name.trim(), Value::Object(arguments).to_string()))
}

/// A value in XML: text, unless the tool's parameter has another type.
fn typed(value: &str, tool: &str, parameter: &str, tools: &[Offered<'_>]) -> Value {
    let tool = tools.iter().find(|offered| offered.name == tool.trim());
    let schema = tool.map(|tool| &tool.parameters["properties"][parameter]);
    let is_text = schema.is_none_or(|schema| schema["type"] == "string");
    let parsed = if is_text { None } else { serde_json::from_str(value.trim()).ok() };
    parsed.unwrap_or_else(|| value.into())
}

/// A whole answer that is a call of one of the tools in JSON, with or without a code block.
fn bare(text: &str, tools: &[Offered<'_>]) -> Option<Call> {
    let text = text.trim();
    let text = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).unwrap_or(text);
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    if !text.starts_with('{') {
        return None;
    }
    let members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let known = |key: &String| ["name", "arguments", "parameters", "type", "id"].contains(&key.as_str());
    let has_arguments = members.contains_key("arguments") || members.contains_key("parameters");
    if !has_arguments || !members.keys().all(known) {
        return None;
    }
    let call = read_object(&Value::Object(members))?;
    tools.iter().any(|tool| tool.name == call.name).then_some(call)
}

fn call(name: &str, arguments: String) -> Call {
    Call { id: String::new(), name: name.trim().to_owned(), arguments, extra: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
            r#"<|python_tag|>{"name": "shell", "parameters": {"lines": 2, "script": "1"}}"#,
            r#"<function=shell>{"lines":2,"script":"1"}</function>"#,
            "<tool_call>\n<function=shell>\n<parameter=script>\n1\n</parameter>\n<parameter=lines>\n2\n\
             </parameter>\n</function>\n</tool_call>",
            "<tool_call>shell\n<arg_key>script</arg_key>\n<arg_value>1</arg_value>\n\
             <arg_key>lines</arg_key>\n<arg_value>2</arg_value></tool_call>",
            "```json\n{\"name\": \"shell\", \"parameters\": {\"lines\": 2, \"script\": \"1\"}}\n```",
        ];
        for text in cases {
            let Written::Calls(calls, _) = find(text, &tools) else { panic!("{text}") };
            assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("shell", expected), "{text}");
        }
        let two = "Both.\n<tool_call>{\"name\":\"a\"}</tool_call>\n<tool_call>{\"name\":\"b\"}</tool_call>";
        let Written::Calls(calls, before) = find(two, &tools) else { panic!("{two}") };
        assert_eq!((calls.len(), before.as_str(), calls[1].arguments.as_str()), (2, "Both.", "{}"));
    }

    #[test]
    fn other_forms_are_noticed_and_prose_is_left_alone() {
        for text in [
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>shell",
            "<tool_call>{\"name\": \"shell\", \"arguments\": {\"script\": \"echo \"hi\"\"}}</tool_call>",
            "Now:\n<function=shell><parameter>",
        ] {
            assert_eq!(find(text, &[]), Written::Unreadable, "{text}");
        }
        for text in [
            "Hermes writes `<tool_call>` before a call.",
            "An example:\n```\n<tool_call>{\"name\": \"x\"}</tool_call>\n```\nDone.",
            "{\"name\": \"Ada\", \"arguments\": []}",
            "{\"name\": \"shell\"}",
            "",
        ] {
            assert_eq!(find(text, &[]), Written::Nothing, "{text}");
        }
    }
}
