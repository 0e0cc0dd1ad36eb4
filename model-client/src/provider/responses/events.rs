//! Reads the events of a stream, and whole answers. Pure. Some servers leave out the deltas, the whole items
//! or the output of the last event. So each text and call is taken from the first of them that has it.

use serde_json::{Map, Value, json};

use super::{ITEMS, PHASE, replayable};
use crate::assemble::{Assembly, Usage};
use crate::calls::Piece;
use crate::finish::LENGTH;
use crate::json::{number, others};
use crate::provider::{Failure, is_error};

/// What separates the texts of two messages in one answer.
const BETWEEN_MESSAGES: &str = "\n\n";

pub(super) fn add(event: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
    let kind = event["type"].as_str().unwrap_or_default();
    match kind {
        "response.output_text.delta" => assembly.text(event["delta"].as_str().unwrap_or_default()),
        "response.output_text.done" if !assembly.has_item_text() => {
            assembly.text(event["text"].as_str().unwrap_or_default());
        }
        "response.refusal.delta" => assembly.refusal(event["delta"].as_str().unwrap_or_default()),
        "response.output_item.added" => begin(&event["item"], index(event), assembly),
        "response.function_call_arguments.delta" => go_on(event, "delta", false, assembly),
        "response.function_call_arguments.done" => go_on(event, "arguments", true, assembly),
        "response.output_item.done" => {
            let text_came = assembly.has_item_text();
            complete(&event["item"], index(event), text_came, assembly);
            assembly.begin_item();
        }
        "response.completed"
        | "response.done"
        | "response.incomplete"
        | "response.failed"
        | "response.cancelled" => return end(kind, &event["response"], assembly),
        "error" | "response.error" => return Err(reported(event)),
        _ if is_error(&event["error"]) && !kind.starts_with("response.") => return Err(reported(event)),
        "" if event["output"].is_array() || event["object"] == "response" => {
            return end(kind, event, assembly);
        }
        _ => {}
    }
    Ok(())
}

fn index(event: &Value) -> Option<i64> {
    number(&event["output_index"])
}

/// Begins an item. Its text and its arguments follow.
fn begin(item: &Value, index: Option<i64>, assembly: &mut Assembly) {
    match item["type"].as_str().unwrap_or_default() {
        "message" => {
            if assembly.has_text() {
                assembly.text(BETWEEN_MESSAGES);
            }
            assembly.begin_item();
            keep_phase(item, assembly);
        }
        "function_call" => assembly.call(piece(item, index, None)),
        _ => {}
    }
}

/// Adds arguments to the call at the event's index. Without an index, they belong to the newest call.
fn go_on(event: &Value, member: &str, whole: bool, assembly: &mut Assembly) {
    let Some(arguments) = event.get(member).filter(|arguments| has_content(arguments)) else {
        return;
    };
    assembly.call(Piece {
        index: index(event),
        id: None,
        name: None,
        arguments: Some(arguments.clone()),
        whole,
        extra: Map::new(),
    });
}

/// Adds a whole item.
fn complete(item: &Value, index: Option<i64>, text_came: bool, assembly: &mut Assembly) {
    match item["type"].as_str().unwrap_or_default() {
        "message" => {
            keep_phase(item, assembly);
            if !text_came {
                let said = message_text(item);
                if !said.is_empty() && assembly.has_text() {
                    assembly.text(BETWEEN_MESSAGES);
                }
                assembly.text(&said);
            }
        }
        "function_call" => {
            let arguments = item.get("arguments").filter(|arguments| has_content(arguments)).cloned();
            assembly.call(piece(item, index, arguments));
        }
        "reasoning" => {
            if let Some(item) = replayable(item) {
                let at = assembly.position();
                assembly.keep_item(ITEMS, json!({"at": at, "item": item}));
            }
        }
        _ => {}
    }
}

/// Reads the last event, or a whole answer.
fn end(kind: &str, response: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
    let status = match kind.trim_start_matches("response.") {
        "" | "done" => response["status"].as_str().unwrap_or("completed"),
        // Some servers leave the status at `in_progress`.
        status => status,
    };
    if is_error(&response["error"]) || status == "failed" {
        return Err(reported(response));
    }
    add_missing(&response["output"], assembly);
    assembly.finish(match response["incomplete_details"]["reason"].as_str().unwrap_or_default() {
        "max_output_tokens" => LENGTH,
        "" => status,
        reason => reason,
    });
    assembly.usage(usage(&response["usage"]));
    assembly.done();
    Ok(())
}

/// Takes from the whole output the parts that no earlier event had. Calls are not compared one by one,
/// because vLLM gives them other ids in the last event.
fn add_missing(output: &Value, assembly: &mut Assembly) {
    let (text_came, calls_came) = (assembly.has_text(), assembly.has_calls());
    if !assembly.has_refusal() {
        add_refusals(output, assembly);
    }
    for (index, item) in output.as_array().into_iter().flatten().enumerate() {
        let came = match item["type"].as_str().unwrap_or_default() {
            "message" => text_came,
            "function_call" => calls_came,
            _ => text_came || calls_came,
        };
        if !came {
            complete(item, i64::try_from(index).ok(), text_came, assembly);
        }
    }
}

/// Adds refusals that no delta contained.
fn add_refusals(output: &Value, assembly: &mut Assembly) {
    for item in output.as_array().into_iter().flatten() {
        for part in item["content"].as_array().into_iter().flatten() {
            assembly.refusal(part["refusal"].as_str().unwrap_or_default());
        }
    }
}

fn keep_phase(item: &Value, assembly: &mut Assembly) {
    if let Some(phase) = item["phase"].as_str() {
        assembly.keep(PHASE, json!(phase));
    }
}

fn message_text(item: &Value) -> String {
    if let Some(said) = item["content"].as_str() {
        return said.to_owned();
    }
    let parts = item["content"].as_array().into_iter().flatten();
    let said = parts.filter(|part| matches!(part["type"].as_str(), None | Some("output_text" | "text")));
    said.filter_map(|part| part["text"].as_str()).collect()
}

/// The call of an item. With arguments it is whole.
fn piece(item: &Value, index: Option<i64>, arguments: Option<Value>) -> Piece {
    const OWN: [&str; 6] = ["type", "id", "call_id", "name", "arguments", "status"];
    let name_of = |member: &str| item[member].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    Piece {
        index,
        id: name_of("call_id").or_else(|| name_of("id")),
        name: name_of("name"),
        whole: arguments.is_some(),
        arguments,
        extra: others(item, &OWN),
    }
}

fn usage(usage: &Value) -> Usage {
    Usage {
        input: number(&usage["input_tokens"]),
        output: number(&usage["output_tokens"]),
        total: number(&usage["total_tokens"]),
        cached_input: number(&usage["input_tokens_details"]["cached_tokens"]),
        reasoning: number(&usage["output_tokens_details"]["reasoning_tokens"]),
    }
}

fn has_content(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// The error in a member `error`, or else in the event itself.
fn reported(event: &Value) -> Failure {
    if is_error(&event["error"]) {
        return Failure(event["error"].clone());
    }
    let wanted = ["code", "message", "param"].into_iter();
    let members = wanted.filter_map(|name| Some((name.to_owned(), event.get(name)?.clone())));
    let members: Map<String, Value> = members.collect();
    if members.is_empty() {
        return Failure(json!({"message": "the server reports that the answer failed"}));
    }
    Failure(Value::Object(members))
}

#[cfg(test)]
mod tests;
