//! Reads the events of a stream, and whole answers. Pure. Unknown events, blocks and deltas are ignored, as
//! the server's documentation demands.

use serde_json::{Map, Value, json};

use super::{BLOCK, THINKING_BLOCKS, is_thinking};
use crate::assemble::{Assembly, Usage};
use crate::calls::Piece;
use crate::json::{number, others};
use crate::provider::Failure;

pub(super) fn add(event: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
    match event["type"].as_str().unwrap_or_default() {
        "message_start" => assembly.usage(usage(&event["message"]["usage"])),
        "content_block_start" => begin(&event["content_block"], index(event), false, assembly),
        "content_block_delta" => go_on(&event["delta"], index(event), assembly),
        "message_delta" => {
            stop(&event["delta"], assembly);
            assembly.usage(usage(&event["usage"]));
        }
        "message_stop" => assembly.done(),
        "message" => add_whole(event, assembly),
        kind if kind == "error" || event["error"].is_object() => {
            let error = event.get("error").filter(|error| !error.is_null());
            return Err(Failure(error.unwrap_or(event).clone()));
        }
        _ => {}
    }
    Ok(())
}

fn index(event: &Value) -> Option<i64> {
    number(&event["index"])
}

/// An answer that is not streamed.
fn add_whole(message: &Value, assembly: &mut Assembly) {
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        begin(block, i64::try_from(index).ok(), true, assembly);
    }
    stop(message, assembly);
    assembly.usage(usage(&message["usage"]));
    assembly.done();
}

/// Begins a block. In a stream it is empty, except for redacted thinking.
fn begin(block: &Value, index: Option<i64>, whole: bool, assembly: &mut Assembly) {
    if is_thinking(block) {
        let at = assembly.position();
        assembly.keep_item(THINKING_BLOCKS, json!({"at": at, BLOCK: block}));
        return;
    }
    match block["type"].as_str().unwrap_or_default() {
        "text" => assembly.text(block["text"].as_str().unwrap_or_default()),
        "tool_use" => assembly.call(call(block, index, whole)),
        _ => {}
    }
}

/// Continues the newest block.
fn go_on(delta: &Value, index: Option<i64>, assembly: &mut Assembly) {
    let piece = |member: &str| delta[member].as_str().unwrap_or_default();
    match piece("type") {
        "text_delta" => assembly.text(piece("text")),
        "thinking_delta" => {
            assembly.extend_item(THINKING_BLOCKS, BLOCK, "thinking", piece("thinking"));
        }
        "signature_delta" => {
            assembly.extend_item(THINKING_BLOCKS, BLOCK, "signature", piece("signature"));
        }
        "input_json_delta" if !piece("partial_json").is_empty() => assembly.call(Piece {
            index,
            id: None,
            name: None,
            arguments: Some(json!(piece("partial_json"))),
            whole: false,
            extra: Map::new(),
        }),
        _ => {}
    }
}

/// In a stream the input is `{}` at first, and its pieces follow.
fn call(block: &Value, index: Option<i64>, whole: bool) -> Piece {
    const OWN: [&str; 4] = ["type", "id", "name", "input"];
    let input = block.get("input").filter(|input| match input {
        Value::Object(members) => whole || !members.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => false,
    });
    Piece {
        index,
        id: block["id"].as_str().map(str::to_owned),
        name: block["name"].as_str().map(str::to_owned),
        arguments: input.cloned(),
        whole: input.is_some(),
        extra: others(block, &OWN),
    }
}

/// Reads why the answer ended. A refusal may have an explanation.
fn stop(message: &Value, assembly: &mut Assembly) {
    let reason = message["stop_reason"].as_str().unwrap_or_default();
    if reason == "refusal" {
        assembly.refusal(message["stop_details"]["explanation"].as_str().unwrap_or_default());
    }
    assembly.finish(reason);
}

/// The server counts cached input separately. Some servers count 0 in one of the two events with a usage.
fn usage(usage: &Value) -> Usage {
    let count = |name: &str| number(&usage[name]);
    let cached = count("cache_read_input_tokens");
    let parts = [count("input_tokens"), count("cache_creation_input_tokens"), cached];
    let input = parts.into_iter().flatten().fold(0, i64::saturating_add);
    Usage {
        input: (input > 0).then_some(input),
        output: count("output_tokens"),
        total: None,
        cached_input: cached.filter(|_| input > 0),
        reasoning: number(&usage["output_tokens_details"]["thinking_tokens"]),
    }
}

#[cfg(test)]
mod tests;
