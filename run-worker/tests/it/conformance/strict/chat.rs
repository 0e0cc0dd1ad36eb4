//! Chat completions, as the strictest templates take them.

use serde_json::Value;

use super::{check_tools, ensure, holds_object, is_id, is_safe_name, list, says_something};

pub(super) fn check(body: &Value) -> Result<(), String> {
    let messages = list(&body["messages"]);
    let both = body.get("max_tokens").is_some() && body.get("max_completion_tokens").is_some();
    ensure(!both, "two limits of tokens are sent")?;
    let mut open: Vec<&str> = Vec::new();
    let mut before = "";
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let wrong = |what: &str| format!("message {at} ({role}, after {before:?}): {what}: {message}");
        ensure(role == "tool" || open.is_empty(), &wrong("a call has no result"))?;
        match role {
            "system" | "developer" => ensure(at == 0, &wrong("it is not the first one"))?,
            "user" => ensure(!["user", "tool"].contains(&before), &wrong("it cannot be here"))?,
            "assistant" => open = calls(message).map_err(|what| wrong(&what))?,
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let answered = open.iter().position(|open| *open == id);
                open.remove(answered.ok_or_else(|| wrong("it is the result of no call"))?);
            }
            _ => return Err(wrong("its role is unknown")),
        }
        let silent = role == "assistant" && message.get("tool_calls").is_some();
        let said = says_something(&message["content"]) || (silent && message["content"].is_null());
        ensure(said, &wrong("it is blank"))?;
        before = role;
    }
    ensure(open.is_empty() && ["user", "tool"].contains(&before), "the model is not asked anything")?;
    ensure(body.get("tools").is_none_or(|tools| !list(tools).is_empty()), "an empty list of tools is sent")?;
    check_tools(list(&body["tools"]), |tool| (&tool["function"]["name"], &tool["function"]["parameters"]))
}

/// The ids of the calls of an answer.
fn calls(message: &Value) -> Result<Vec<&str>, String> {
    let calls = list(&message["tool_calls"]);
    ensure(message.get("tool_calls").is_none() || !calls.is_empty(), "an empty list of calls")?;
    let mut ids = Vec::new();
    for call in calls {
        let function = &call["function"];
        let id = call["id"].as_str().unwrap_or_default();
        ensure(is_id(&call["id"]) && !ids.contains(&id), "an id of a call is empty, long or repeated")?;
        ensure(call["type"] == "function", "a call has no type")?;
        ensure(is_safe_name(&function["name"]), "the name of a call is not safe")?;
        ensure(holds_object(&function["arguments"]), "arguments are no object")?;
        ids.push(id);
    }
    Ok(ids)
}
