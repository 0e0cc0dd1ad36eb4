//! Finds tool calls that a model wrote into its text. Pure. A server without the right parser for its model
//! leaves them there. Such a text is never a result.

use serde_json::{Map, Value};

use super::{Call, Offered};

/// What the text of an answer without calls holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Calls in a known form.
    Calls {
        calls: Vec<Call>,
        /// The text without them.
        text: String,
        /// The calls as they were written.
        written: String,
    },
    /// The begin of a call that capi does not read.
    Unreadable,
    Nothing,
}

/// Tags around calls in JSON, or in the XML of Qwen and GLM. The end may be missing.
const TAGS: [(&str, &str); 3] = [
    ("<tool_call>", "</tool_call>"),
    ("<function_call>", "</function_call>"),
    ("<|tool_call|>", "<|/tool_call|>"),
];
/// Marks before calls in JSON (Mistral, Llama).
const PREFIXES: [&str; 2] = ["[TOOL_CALLS]", "<|python_tag|>"];
const FUNCTION: &str = "<function=";
/// The begin of calls in other forms: DeepSeek, Kimi, Harmony.
const OTHER: [&str; 4] = [
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<|channel|>commentary to=",
];
/// The most calls that are read from one text.
const MAX_CALLS: usize = 32;
/// Marks in one line that are looked at. A line with more is data.
const MAX_MARKS: usize = 16;

/// Looks for calls outside of code.
#[must_use]
pub fn find(text: &str, tools: &[Offered<'_>]) -> Written {
    if let Some(call) = bare(text, tools) {
        return Written::Calls { calls: vec![call], text: String::new(), written: text.to_owned() };
    }
    let Some(at) = first_mark(text) else { return Written::Nothing };
    let (before, marked) = text.split_at(at);
    match read_all(marked, tools) {
        Some((calls, after)) => Written::Calls {
            calls,
            text: format!("{}\n{}", before.trim_end(), after.trim_start()).trim().to_owned(),
            written: marked[..marked.len() - after.len()].trim().to_owned(),
        },
        None if begins_call(marked) => Written::Unreadable,
        None => Written::Nothing,
    }
}

fn marks() -> impl Iterator<Item = &'static str> {
    let tags = TAGS.iter().map(|(open, _)| *open);
    tags.chain(PREFIXES).chain([FUNCTION]).chain(OTHER)
}

/// The first mark that is neither in a code block nor in a code span.
fn first_mark(text: &str) -> Option<usize> {
    let (mut begin, mut fenced) = (0, false);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let found = marks().flat_map(|mark| line.match_indices(mark).take(MAX_MARKS)).map(|(at, _)| at);
            let in_span = |at: &usize| line[..*at].matches('`').count() % 2 == 1;
            if let Some(at) = found.filter(|at| !in_span(at)).min() {
                return Some(begin + at);
            }
        }
        begin += line.len();
    }
    None
}

/// Whether a call follows the mark, and not prose about it.
fn begins_call(marked: &str) -> bool {
    if OTHER.iter().any(|mark| marked.starts_with(mark)) || marked.starts_with(FUNCTION) {
        return true;
    }
    let Some(mark) = marks().find(|mark| marked.starts_with(mark)) else { return false };
    let behind = marked[mark.len()..].trim_start();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let after_name = behind.trim_start_matches(is_name).trim_start();
    behind.starts_with(['{', '['])
        || ["{", "[ARGS]", FUNCTION, "<arg_key>"].iter().any(|begin| after_name.starts_with(begin))
}

/// The calls at the begin of the text, and the text after them.
fn read_all<'t>(marked: &'t str, tools: &[Offered<'_>]) -> Option<(Vec<Call>, &'t str)> {
    let (mut calls, mut text) = (Vec::new(), marked);
    loop {
        let next = text.trim_start();
        let (more, rest) = if let Some((open, close)) = TAGS.iter().find(|(open, _)| next.starts_with(open)) {
            let behind = &next[open.len()..];
            let (body, rest) = behind.split_once(close).unwrap_or((behind, ""));
            (read_body(body.trim(), tools)?, rest)
        } else if let Some(prefix) = PREFIXES.iter().find(|prefix| next.starts_with(**prefix)) {
            read_prefixed(&next[prefix.len()..])?
        } else if next.starts_with(FUNCTION) {
            let (body, rest) = next.split_once("</function>").unwrap_or((next, ""));
            (vec![read_function(body, tools)?], rest)
        } else {
            return (!calls.is_empty()).then_some((calls, text));
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
fn read_value(value: &Value) -> Option<Vec<Call>> {
    match value {
        Value::Array(all) => all.iter().take(MAX_CALLS + 1).map(read_object).collect(),
        one => read_object(one).map(|call| vec![call]),
    }
}

/// The calls behind `[TOOL_CALLS]` or `<|python_tag|>`, which have no end mark, and the text behind them.
fn read_prefixed(text: &str) -> Option<(Vec<Call>, &str)> {
    let text = text.trim_start();
    let at = text.find(['{', '['])?;
    // `name[ARGS]{…}`, as newer Mistral models write it.
    let (name, json) = if text.starts_with("[ARGS]") { return None } else { text.split_at(at) };
    let json = json.strip_prefix("[ARGS]").unwrap_or(json);
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let rest = &json[values.byte_offset()..];
    let rest = ENDS.iter().find_map(|end| rest.trim_start().strip_prefix(end)).unwrap_or(rest);
    if name.trim().is_empty() {
        return Some((read_value(&value)?, rest));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_call = value.is_object() && name.trim().chars().all(is_name);
    is_call.then(|| (vec![call(name, value.to_string())], rest))
}

/// What models write behind their calls.
const ENDS: [&str; 3] = ["</s>", "<|eom_id|>", "<|eot_id|>"];

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
mod tests;
