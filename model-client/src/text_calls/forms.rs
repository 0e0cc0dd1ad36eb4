//! Reads the calls behind a mark, in the forms of well-known models. Pure.

use serde_json::{Map, Value};

use super::{FUNCTION, MAX_CALLS, PREFIXES, TAGS, is_name};
use crate::{Call, Offered};

/// The calls at the begin of the text, and the text after them.
pub(super) fn read_all<'t>(marked: &'t str, tools: &[Offered<'_>]) -> Option<(Vec<Call>, &'t str)> {
    let (mut calls, mut text) = (Vec::new(), marked);
    loop {
        let next = text.trim_start();
        let (more, rest) = if let Some((open, close)) = TAGS.iter().find(|(open, _)| next.starts_with(open)) {
            let behind = &next[open.len()..];
            match behind.split_once(close) {
                // GLM writes only the name of a tool without parameters.
                Some((name, rest)) if is_name(name.trim()) => (vec![call(name, "{}".to_owned())], rest),
                Some((body, rest)) => (read_body(body.trim(), tools)?, rest),
                None => (read_body(behind.trim(), tools)?, ""),
            }
        } else if let Some(prefix) = PREFIXES.iter().find(|prefix| next.starts_with(**prefix)) {
            read_prefixed(&next[prefix.len()..])?
        } else if next.starts_with(FUNCTION) {
            let (body, rest) = next.split_once("</function>").unwrap_or((next, ""));
            (vec![read_function(body, tools)?], rest)
        } else {
            return (!calls.is_empty()).then_some((calls, next));
        };
        calls.extend(more);
        if calls.len() > MAX_CALLS {
            return None;
        }
        text = rest;
    }
}

/// The calls between two tags.
fn read_body(body: &str, tools: &[Offered<'_>]) -> Option<Vec<Call>> {
    if body.starts_with(FUNCTION) {
        let functions = body.split("</function>").filter(|function| !function.trim().is_empty());
        return functions.take(MAX_CALLS + 1).map(|function| read_function(function.trim(), tools)).collect();
    }
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        return read_value(&value);
    }
    read_named(body).or_else(|| read_arg_keys(body, tools)).map(|call| vec![call])
}

/// One call, or a list.
pub(super) fn read_value(value: &Value) -> Option<Vec<Call>> {
    match value {
        Value::Array(all) => all.iter().take(MAX_CALLS + 1).map(read_object).collect(),
        one => read_object(one).map(|call| vec![call]),
    }
}

/// The calls behind `[TOOL_CALLS]` or `<|python_tag|>`, which have no end mark, and the text behind them.
fn read_prefixed(text: &str) -> Option<(Vec<Call>, &str)> {
    let text = text.trim_start();
    let at = text.find(['{', '['])?;
    // `name[ARGS]{…}` or `name[CALL_ID]id[ARGS]{…}`, as newer Mistral models write it.
    let (name, mut json) = text.split_at(at);
    if json.starts_with("[CALL_ID]") {
        json = &json[json.find("[ARGS]")?..];
    }
    let json = json.strip_prefix("[ARGS]").unwrap_or(json);
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let rest = &json[values.byte_offset()..];
    let rest = ENDS.iter().find_map(|end| rest.trim_start().strip_prefix(end)).unwrap_or(rest);
    if name.trim().is_empty() {
        return Some((read_value(&value)?, rest));
    }
    (value.is_object() && is_name(name.trim())).then(|| (vec![call(name, value.to_string())], rest))
}

/// What models write behind their calls.
pub(super) const ENDS: [&str; 3] = ["</s>", "<|eom_id|>", "<|eot_id|>"];

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

/// `name{…}`.
fn read_named(body: &str) -> Option<Call> {
    let at = body.find('{')?;
    let name = body[..at].trim();
    let arguments = serde_json::from_str::<Map<String, Value>>(&body[at..]).ok()?;
    is_name(name).then(|| call(name, Value::Object(arguments).to_string()))
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

fn call(name: &str, arguments: String) -> Call {
    Call { id: String::new(), name: name.trim().to_owned(), arguments, extra: None }
}
