//! Finds tool calls that a model wrote into its text. Pure. A server without the right parser for its model
//! leaves them there. Such a text is never a result.

mod forms;

use serde_json::{Map, Value};

use super::{Call, Offered};
use forms::{ENDS, read_all, read_value};

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

#[cfg(test)]
mod tests;
