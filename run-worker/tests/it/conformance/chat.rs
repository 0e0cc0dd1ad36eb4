//! Replies of servers of chat completions.

use serde_json::{Value, json};

use super::server::Reply;

/// The events and the end marker.
pub(super) fn sse(events: impl IntoIterator<Item = Value>) -> Reply {
    Reply::raw(body(events) + "data: [DONE]\n\n")
}

/// The events without the end marker.
pub(super) fn body(events: impl IntoIterator<Item = Value>) -> String {
    let events = events.into_iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

/// A chunk with this delta.
pub(super) fn delta(delta: Value) -> Value {
    choice("delta", delta)
}

/// A chunk whose choice has one member beside its index.
pub(super) fn choice(member: &str, value: Value) -> Value {
    let mut chunk = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "the-model",
        "choices": [{"index": 0}],
    });
    chunk["choices"][0][member] = value;
    chunk
}

pub(super) fn text(text: &str) -> Value {
    delta(json!({"content": text}))
}

/// The last chunk of the choice.
pub(super) fn finish(reason: impl Into<Value>) -> Value {
    let mut chunk = delta(json!({}));
    chunk["choices"][0]["finish_reason"] = reason.into();
    chunk
}

/// The last chunk of the stream.
pub(super) fn usage(usage: Value) -> Value {
    let mut chunk = json!({"id": "c", "object": "chat.completion.chunk", "choices": []});
    chunk["usage"] = usage;
    chunk
}

pub(super) fn counted() -> Value {
    usage(json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}))
}

/// An answer with this text.
pub(super) fn say(said: &str) -> Reply {
    ended(said, "stop")
}

pub(super) fn done() -> Reply {
    say("Done.")
}

/// An answer with this text and finish reason.
pub(super) fn ended(said: &str, reason: &str) -> Reply {
    sse([text(said), finish(reason), counted()])
}

/// The piece of a call that is whole.
pub(super) fn call(name: &str, arguments: &str) -> Value {
    json!({
        "index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments},
    })
}

/// The same with other members.
pub(super) fn call_with(name: &str, arguments: &str, members: &Value) -> Value {
    let mut call = call(name, arguments);
    for (member, value) in members.as_object().into_iter().flatten() {
        call[member] = value.clone();
    }
    call
}

/// An answer with these pieces of calls, one in each chunk.
pub(super) fn calls(pieces: impl IntoIterator<Item = Value>) -> Reply {
    let chunks = pieces.into_iter().map(|piece| delta(json!({"tool_calls": [piece]})));
    sse(chunks.chain([finish("tool_calls"), counted()]).collect::<Vec<_>>())
}

/// An error in the form of OpenAI.
pub(super) fn refusal(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"message": message, "type": "invalid_request_error"}}))
}

/// OpenAI's refusal of a parameter.
pub(super) fn unsupported(message: &str, parameter: &str) -> Reply {
    let error = json!({
        "message": message, "type": "invalid_request_error", "param": parameter,
        "code": "unsupported_parameter",
    });
    Reply::json(400, &json!({"error": error}))
}

/// The messages of a request.
pub(super) fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The answers of the model in a request.
pub(super) fn replayed(body: &Value) -> Vec<&Value> {
    messages(body).iter().filter(|message| message["role"] == "assistant").collect()
}
