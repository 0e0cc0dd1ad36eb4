//! The Responses API without a store.

use serde_json::Value;

use super::{check_tools, ensure, holds_object, is_id, is_safe_name, list, says_something};

pub(super) fn check(body: &Value) -> Result<(), String> {
    ensure(body["store"] == false, "the server would store the answer")?;
    ensure(body.get("previous_response_id").is_none(), "an answer is named that is not stored")?;
    let items = list(&body["input"]);
    ensure(!items.is_empty(), "the input is empty")?;
    let mut open: Vec<&str> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let wrong = |what: &str| format!("item {at}: {what}: {item}");
        let id = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str().unwrap_or("message") {
            "message" => {
                ensure(open.is_empty(), &wrong("a call before it has no result"))?;
                ensure(says_something(&item["content"]), &wrong("it is blank"))?;
            }
            "function_call" => {
                ensure(is_id(&item["call_id"]) && !open.contains(&id), &wrong("its id is bad"))?;
                ensure(is_safe_name(&item["name"]), &wrong("its name is not safe"))?;
                ensure(holds_object(&item["arguments"]), &wrong("its arguments are no object"))?;
                open.push(id);
            }
            "function_call_output" => {
                let answered = open.iter().position(|open| *open == id);
                open.remove(answered.ok_or_else(|| wrong("it is the result of no call"))?);
                ensure(says_something(&item["output"]), &wrong("it is blank"))?;
            }
            "reasoning" => {
                let next = items.get(at + 1).and_then(|next| next["type"].as_str().or(next["role"].as_str()));
                let follows = matches!(next, Some("function_call" | "message" | "assistant" | "reasoning"));
                ensure(follows, &wrong("the item that it belongs to is missing"))?;
                ensure(item["encrypted_content"].is_string(), &wrong("it cannot be decrypted"))?;
                ensure(item["summary"].is_array(), &wrong("it has no summary"))?;
            }
            _ => return Err(wrong("its type is unknown")),
        }
    }
    ensure(open.is_empty(), "a call has no result")?;
    check_tools(list(&body["tools"]), |tool| (&tool["name"], &tool["parameters"]))
}
