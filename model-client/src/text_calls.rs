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
/// The begin of calls in other forms: MiniMax, Seed, DeepSeek, Kimi, Harmony.
const OTHER: [&str; 8] = [
    "<minimax:tool_call>",
    "<invoke name=",
    "<seed:tool_call>",
    "<｜DSML｜",
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<|channel|>commentary to=",
];
const TOOL_CODE: &str = "```tool_code";
/// The most calls that are read from one text.
const MAX_CALLS: usize = 32;
/// Marks in one line that are looked at. A line with more is data.
const MAX_MARKS: usize = 16;

/// Looks for calls outside of code.
#[must_use]
pub fn find(text: &str, tools: &[Offered<'_>]) -> Written {
    if let Some(calls) = bare(text, tools) {
        return Written::Calls { calls, text: String::new(), written: text.to_owned() };
    }
    // The form of Gemma, in a code block of its own.
    if text.trim_start().starts_with(TOOL_CODE) {
        return Written::Unreadable;
    }
    // In a result in JSON, a mark is data.
    if is_json(text) {
        return Written::Nothing;
    }
    let Some(at) = first_mark(text) else { return Written::Nothing };
    let (before, marked) = text.split_at(at);
    match read_all(marked, tools) {
        // A model that wants a result stops behind its call. What goes on is about calls.
        Some((calls, "")) => {
            Written::Calls { calls, text: before.trim().to_owned(), written: marked.trim().to_owned() }
        }
        Some(_) => Written::Unreadable,
        None if begins_call(before, marked) => Written::Unreadable,
        None => Written::Nothing,
    }
}

/// A written call without the tags around it. A model that quotes a call may leave them out or change them.
#[must_use]
pub fn body(written: &str) -> &str {
    let mut body = written.trim();
    for mark in marks() {
        body = body.strip_prefix(mark).unwrap_or(body).trim_start();
    }
    for end in TAGS.iter().map(|(_, close)| *close).chain(ENDS) {
        body = body.strip_suffix(end).unwrap_or(body).trim_end();
    }
    body
}

fn marks() -> impl Iterator<Item = &'static str> {
    let tags = TAGS.iter().map(|(open, _)| *open);
    tags.chain(PREFIXES).chain([FUNCTION]).chain(OTHER)
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok()
}

/// The first mark that is neither in a code block nor in a code span.
fn first_mark(text: &str) -> Option<usize> {
    let (mut begin, mut fence) = (0, None);
    for line in text.split_inclusive('\n') {
        // One line may open a block and close it.
        if line.matches("```").count() % 2 == 1 {
            fence = if fence.is_some() { None } else { Some(begin + line.len()) };
        } else if fence.is_none()
            && let Some(at) = mark_in(line)
        {
            return Some(begin + at);
        }
        begin += line.len();
    }
    // A block without an end is none.
    let mut begin = fence?;
    for line in text[begin..].split_inclusive('\n') {
        if let Some(at) = mark_in(line) {
            return Some(begin + at);
        }
        begin += line.len();
    }
    None
}

fn mark_in(line: &str) -> Option<usize> {
    let found = marks().flat_map(|mark| line.match_indices(mark).take(MAX_MARKS)).map(|(at, _)| at);
    let in_span = |at: &usize| line[..*at].matches('`').count() % 2 == 1;
    found.filter(|at| !in_span(at)).min()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether a call follows the mark, and not prose about it.
fn begins_call(before: &str, marked: &str) -> bool {
    if OTHER.iter().any(|mark| marked.starts_with(mark)) || marked.starts_with(FUNCTION) {
        return true;
    }
    let begins_line = before.is_empty() || before.ends_with('\n');
    if begins_line && PREFIXES.iter().any(|prefix| marked.starts_with(prefix)) {
        return true;
    }
    let Some(mark) = marks().find(|mark| marked.starts_with(mark)) else { return false };
    let behind = marked[mark.len()..].trim_start();
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let after_name = behind.trim_start_matches(in_name).trim_start();
    let begins = ["{", "[ARGS]", "[CALL_ID]", FUNCTION, "<arg_key>"];
    behind.starts_with(['{', '[']) || begins.iter().any(|begin| after_name.starts_with(begin))
}

/// The calls at the begin of the text, and the text after them.
fn read_all<'t>(marked: &'t str, tools: &[Offered<'_>]) -> Option<(Vec<Call>, &'t str)> {
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

/// A whole answer that is nothing but calls of the tools, with or without a code block.
fn bare(text: &str, tools: &[Offered<'_>]) -> Option<Vec<Call>> {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    // The first line of a block may name a language.
    let inner = inner.map(|inner| inner.split_once('\n').map_or(inner, |(_, body)| body).trim());
    let calls = match (inner.unwrap_or(text), inner) {
        (json, _) if json.starts_with(['{', '[']) => {
            let value: Value = serde_json::from_str(json).ok()?;
            let all =
                if let Value::Array(all) = &value { all.as_slice() } else { std::slice::from_ref(&value) };
            let is_one = |value: &Value| value.as_object().is_some_and(has_only_a_call);
            all.iter().all(is_one).then(|| read_value(&value))??
        }
        (marked, Some(_)) => read_all(marked, tools).filter(|(_, rest)| rest.trim().is_empty())?.0,
        _ => return None,
    };
    let is_offered = |call: &Call| tools.iter().any(|tool| tool.name == call.name);
    (!calls.is_empty() && calls.len() <= MAX_CALLS && calls.iter().all(is_offered)).then_some(calls)
}

fn has_only_a_call(members: &Map<String, Value>) -> bool {
    const KNOWN: [&str; 6] = ["name", "arguments", "parameters", "type", "id", "function"];
    let has_arguments = ["arguments", "parameters"].iter().any(|name| members.contains_key(*name));
    let is_nested = members.get("function").is_some_and(Value::is_object);
    (has_arguments || is_nested) && members.keys().all(|key| KNOWN.contains(&key.as_str()))
}

fn call(name: &str, arguments: String) -> Call {
    Call { id: String::new(), name: name.trim().to_owned(), arguments, extra: None }
}

#[cfg(test)]
mod tests;
