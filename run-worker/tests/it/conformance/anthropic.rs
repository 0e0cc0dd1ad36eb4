//! Replies of servers of Anthropic's messages.

use serde_json::{Value, json};

use super::server::Reply;

/// Events with their names.
pub(super) fn sse(events: impl IntoIterator<Item = Value>) -> Reply {
    let event = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    Reply::raw(events.into_iter().map(event).collect::<String>())
}

pub(super) fn start() -> Value {
    let usage = json!({"input_tokens": 11, "output_tokens": 1});
    start_with(&usage)
}

pub(super) fn start_with(usage: &Value) -> Value {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "the-model", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    json!({"type": "message_start", "message": message})
}

/// The events of one block that is given as the messages show it.
pub(super) fn block(index: usize, block: &Value) -> Vec<Value> {
    let text = |member: &str| block[member].as_str().unwrap_or_default();
    let (start, deltas) = match text("type") {
        "text" => {
            (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text("text")})])
        }
        "thinking" => (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": text("thinking")}),
                json!({"type": "signature_delta", "signature": text("signature")}),
            ],
        ),
        "tool_use" => {
            let input = block["input"].to_string();
            let (first, second) = input.split_at(input.floor_char_boundary(input.len() / 2));
            let piece = |part: &str| json!({"type": "input_json_delta", "partial_json": part});
            let start = json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}});
            (start, vec![piece(first), piece(second)])
        }
        _ => (block.clone(), vec![]),
    };
    let begin = json!({"type": "content_block_start", "index": index, "content_block": start});
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let stop = json!({"type": "content_block_stop", "index": index});
    std::iter::once(begin).chain(deltas).chain([stop]).collect()
}

pub(super) fn end(reason: &str) -> [Value; 2] {
    end_with(reason, &json!({"output_tokens": 7}))
}

pub(super) fn end_with(reason: &str, usage: &Value) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    let message_delta = json!({"type": "message_delta", "delta": delta, "usage": usage});
    [message_delta, json!({"type": "message_stop"})]
}

/// An answer of these blocks.
pub(super) fn answer(blocks: &[Value], reason: &str) -> Reply {
    let blocks = blocks.iter().enumerate().flat_map(|(index, given)| block(index, given));
    sse(std::iter::once(start()).chain(blocks).chain(end(reason)).collect::<Vec<_>>())
}

pub(super) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

pub(super) fn thinking(thinking: &str, signature: &str) -> Value {
    json!({"type": "thinking", "thinking": thinking, "signature": signature})
}

pub(super) fn tool_use(id: &str, name: &str, input: Value) -> Value {
    let mut block = json!({"type": "tool_use", "id": id, "name": name});
    block["input"] = input;
    block
}

pub(super) fn say(said: &str) -> Reply {
    answer(&[text(said)], "end_turn")
}

pub(super) fn done() -> Reply {
    say("Done.")
}

/// An answer that calls a tool without arguments.
pub(super) fn ask_time() -> Reply {
    answer(&[tool_use("toolu_1", "current_time", json!({}))], "tool_use")
}

/// An error in Anthropic's form.
pub(super) fn refusal(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"type": "error", "error": {"type": kind, "message": message}}))
}

/// The blocks of a message of a request, without the marks for the cache.
pub(super) fn blocks(body: &Value, message: usize) -> Vec<Value> {
    let mut blocks = body["messages"][message]["content"].as_array().cloned().unwrap_or_default();
    for block in blocks.iter_mut().filter_map(Value::as_object_mut) {
        block.remove("cache_control");
    }
    blocks
}
