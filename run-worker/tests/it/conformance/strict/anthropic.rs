//! Anthropic's messages.

use serde_json::Value;

use super::{check_tools, ensure, is_id, is_safe_name, list, says_something};

/// The most cache breakpoints of a request.
const MAX_BREAKPOINTS: usize = 4;

pub(super) fn check(body: &Value) -> Result<(), String> {
    ensure(body["max_tokens"].as_i64().is_some_and(|most| most > 0), "max_tokens is missing")?;
    ensure(body.get("system").is_none_or(says_something), "the instructions are blank")?;
    let breakpoints = body.to_string().matches("\"cache_control\"").count();
    ensure(breakpoints <= MAX_BREAKPOINTS, "there are too many cache breakpoints")?;
    let messages = list(&body["messages"]);
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let wrong = |what: &str| format!("message {at}: {what}: {message}");
        let expected = if at % 2 == 0 { "user" } else { "assistant" };
        ensure(message["role"] == expected, &wrong("the roles do not alternate"))?;
        ensure(says_something(&message["content"]), &wrong("it is blank"))?;
        let blocks = list(&message["content"]);
        if expected == "user" {
            answers(blocks, &mut open).map_err(|what| wrong(&what))?;
        } else {
            open = calls(blocks).map_err(|what| wrong(&what))?;
        }
    }
    ensure(messages.len() % 2 == 1, "the model is not asked anything")?;
    check_tools(list(&body["tools"]), |tool| (&tool["name"], &tool["input_schema"]))
}

/// The ids of the calls of an answer.
fn calls(blocks: &[Value]) -> Result<Vec<&str>, String> {
    let mut ids = Vec::new();
    for block in blocks.iter().filter(|block| block["type"] == "tool_use") {
        let id = block["id"].as_str().unwrap_or_default();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let fits = is_id(&block["id"]) && id.bytes().all(allowed) && !ids.contains(&id);
        ensure(fits, "an id of a call is empty, long, repeated or not safe")?;
        ensure(is_safe_name(&block["name"]), "the name of a call is not safe")?;
        ensure(block["input"].is_object(), "the input of a call is no object")?;
        ids.push(id);
    }
    let thinks = |block: &Value| ["thinking", "redacted_thinking"].iter().any(|kind| block["type"] == *kind);
    ensure(!blocks.last().is_some_and(thinks), "nothing follows the thinking")?;
    let unsigned = |block: &Value| block["type"] == "thinking" && !says_something(&block["signature"]);
    ensure(!blocks.iter().any(unsigned), "thinking has no signature")?;
    Ok(ids)
}

/// The results of all calls come first in the message behind them.
fn answers(blocks: &[Value], open: &mut Vec<&str>) -> Result<(), String> {
    let results = blocks.iter().take_while(|block| block["type"] == "tool_result");
    for result in results {
        let id = result["tool_use_id"].as_str().unwrap_or_default();
        let answered = open.iter().position(|open| *open == id);
        open.remove(answered.ok_or("it has the result of no call")?);
    }
    let mut late = blocks.iter().skip_while(|block| block["type"] == "tool_result");
    ensure(!late.any(|block| block["type"] == "tool_result"), "a result comes after a text")?;
    ensure(open.is_empty(), "a call has no result")
}
