//! Replies of servers of the Responses API.

use serde_json::{Value, json};

use super::server::Reply;

/// Events with their names.
pub(super) fn sse(events: impl IntoIterator<Item = Value>) -> Reply {
    let event = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    Reply::raw(events.into_iter().map(event).collect::<String>())
}

pub(super) fn message(text: &str) -> Value {
    let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
    json!({
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content,
    })
}

pub(super) fn function_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name,
        "arguments": arguments, "status": "completed",
    })
}

pub(super) fn reasoning(encrypted: &str) -> Value {
    json!({
        "type": "reasoning", "id": format!("rs_{encrypted}"), "summary": [],
        "encrypted_content": encrypted,
    })
}

/// The events of one item that is given whole.
fn item(index: usize, item: &Value) -> Vec<Value> {
    let (mut begun, mut events) = (item.clone(), Vec::new());
    let event = |kind: &str, members: Value| {
        let mut event = members;
        event["type"] = json!(kind);
        event["item_id"] = item["id"].clone();
        event["output_index"] = json!(index);
        event
    };
    if let Some(text) = item["content"][0]["text"].as_str() {
        begun["content"] = json!([]);
        events.push(event("response.content_part.added", json!({"content_index": 0})));
        events.push(event("response.output_text.delta", json!({"content_index": 0, "delta": text})));
        events.push(event("response.output_text.done", json!({"content_index": 0, "text": text})));
    }
    if let Some(arguments) = item["arguments"].as_str() {
        begun["arguments"] = json!("");
        events.push(event("response.function_call_arguments.delta", json!({"delta": arguments})));
        events.push(event("response.function_call_arguments.done", json!({"arguments": arguments})));
    }
    let added = json!({"type": "response.output_item.added", "output_index": index, "item": begun});
    let done = json!({"type": "response.output_item.done", "output_index": index, "item": item});
    std::iter::once(added).chain(events).chain([done]).collect()
}

fn response(status: &str, output: &[Value], usage: &Value) -> Value {
    json!({
        "id": "resp_1", "object": "response", "status": status, "error": null, "incomplete_details": null,
        "model": "the-model", "output": output, "usage": usage,
    })
}

fn counts() -> Value {
    json!({"input_tokens": 11, "output_tokens": 7, "total_tokens": 18})
}

/// The events of an answer up to its last one.
pub(super) fn begun(items: &[Value]) -> Vec<Value> {
    let created = json!({"type": "response.created", "response": response("in_progress", &[], &Value::Null)});
    let items = items.iter().enumerate().flat_map(|(index, given)| item(index, given));
    std::iter::once(created).chain(items).collect()
}

/// An answer of these items.
pub(super) fn answer(items: &[Value]) -> Reply {
    answer_with(items, &counts())
}

pub(super) fn answer_with(items: &[Value], usage: &Value) -> Reply {
    let end = json!({"type": "response.completed", "response": response("completed", items, usage)});
    sse([begun(items), vec![end]].concat())
}

/// An answer that is not whole, for this reason.
pub(super) fn incomplete(items: &[Value], reason: &str) -> Reply {
    let mut response = response("incomplete", items, &counts());
    response["incomplete_details"] = json!({"reason": reason});
    let end = json!({"type": "response.incomplete", "response": response});
    sse([begun(items), vec![end]].concat())
}

/// An answer that fails with this error.
pub(super) fn failed(code: &str, message: &str) -> Reply {
    let mut response = response("failed", &[], &Value::Null);
    response["error"] = json!({"code": code, "message": message});
    sse([begun(&[]), vec![json!({"type": "response.failed", "response": response})]].concat())
}

pub(super) fn say(said: &str) -> Reply {
    answer(&[message(said)])
}

pub(super) fn done() -> Reply {
    say("Done.")
}

/// An answer that calls a tool without arguments.
pub(super) fn ask_time() -> Reply {
    answer(&[function_call("call_1", "current_time", "{}")])
}

/// The items of a request of this type.
pub(super) fn items<'b>(body: &'b Value, kind: &str) -> Vec<&'b Value> {
    let items = body["input"].as_array().into_iter().flatten();
    items.filter(|item| item["type"].as_str().unwrap_or("message") == kind).collect()
}
