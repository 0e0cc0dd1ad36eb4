//! The Responses API of the scripted model, which stores nothing.

use serde_json::{Value, json};

use super::answer::{Answer, Tokens, pieces};
use super::history::{Part, Turn};
use super::prefix::Block;
use super::protocol::{Protocol, arguments, list, named, said, string, text_of};

pub(super) fn turns(body: &Value) -> Vec<Turn> {
    let mut turns = Vec::new();
    for item in list(&body["input"]) {
        match item["type"].as_str().unwrap_or("message") {
            "message" if item["role"] == "user" => turns.push(Turn::User(text_of(&item["content"]))),
            "message" if item["role"] == "assistant" => add(&mut turns, said(&item["content"])),
            "message" => turns.push(Turn::System),
            "reasoning" => add(&mut turns, Some(Part::Thought(item.clone()))),
            "function_call" => add(&mut turns, Some(call(item))),
            "function_call_output" => turns.push(Turn::Result(string(&item["call_id"]))),
            other => turns.push(Turn::Odd(format!("an item of the type {other:?}"))),
        }
    }
    turns
}

/// Adds a part to the answer that the last items belong to.
fn add(turns: &mut Vec<Turn>, part: Option<Part>) {
    match turns.last_mut() {
        Some(Turn::Answer(parts)) => parts.extend(part),
        _ => turns.push(Turn::Answer(part.into_iter().collect())),
    }
}

fn call(item: &Value) -> Part {
    Part::Call {
        id: string(&item["call_id"]),
        name: string(&item["name"]),
        arguments: arguments(&item["arguments"]),
    }
}

pub(super) fn blocks(body: &Value) -> Vec<Block> {
    let instructions = body.get("instructions").filter(|instructions| instructions.is_string());
    list(&body["tools"]).iter().chain(instructions).chain(list(&body["input"])).map(Block::of).collect()
}

pub(super) fn events(answer: &Answer) -> Vec<String> {
    let begun = response(answer.number, "in_progress", &[]);
    let mut events = vec![json!({"type": "response.created", "response": begun})];
    let (mut output, mut arguments) = (Vec::new(), answer.calls.iter().map(|call| call.arguments.as_str()));
    for (index, part) in answer.parts(Protocol::Responses).iter().enumerate() {
        let id = format!("item_{}_{index}", answer.number);
        let Item { begun, deltas, whole } = item(&id, part, &mut arguments);
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": begun}));
        for mut delta in deltas {
            delta["item_id"] = json!(id);
            delta["output_index"] = json!(index);
            events.push(delta);
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": whole}));
        output.push(whole);
    }
    let (kind, reason) = match answer.finish.as_str() {
        "stop" | "tool_calls" => ("completed", None),
        "length" => ("incomplete", Some("max_output_tokens")),
        other => ("incomplete", Some(other)),
    };
    let mut last = response(answer.number, kind, &output);
    if let Some(reason) = reason {
        last["incomplete_details"] = json!({"reason": reason});
    }
    last["usage"] = answer.tokens.as_ref().map_or(Value::Null, usage);
    events.push(json!({"type": format!("response.{kind}"), "response": last}));
    events.iter().map(named).collect()
}

/// An item of the output: how it begins, how it goes on, and as a whole.
struct Item {
    begun: Value,
    deltas: Vec<Value>,
    whole: Value,
}

fn item<'a>(id: &str, part: &Part, arguments: &mut impl Iterator<Item = &'a str>) -> Item {
    let piece = |kind: &str, text: &str| json!({"type": format!("response.{kind}.delta"), "delta": text});
    match part {
        Part::Thought(thought) => {
            let mut whole = thought.clone();
            whole["id"] = json!(id);
            Item { begun: json!({"type": "reasoning", "id": id, "summary": []}), deltas: Vec::new(), whole }
        }
        Part::Text(text) => {
            let message = |status: &str, content: Value| {
                json!({
                    "type": "message", "id": id, "status": status, "role": "assistant", "content": content,
                })
            };
            let parts = pieces(text).into_iter();
            let mut deltas: Vec<_> = parts.map(|text| piece("output_text", text)).collect();
            deltas.push(json!({"type": "response.output_text.done", "text": text}));
            let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
            let (begun, whole) = (message("in_progress", json!([])), message("completed", content));
            Item { begun, deltas, whole }
        }
        Part::Call { id: call, name, .. } => {
            let arguments = arguments.next().unwrap_or_default();
            let function_call = |status: &str, arguments: &str| {
                json!({
                    "type": "function_call", "id": id, "status": status, "call_id": call, "name": name,
                    "arguments": arguments,
                })
            };
            let parts = pieces(arguments).into_iter();
            let mut deltas: Vec<_> = parts.map(|text| piece("function_call_arguments", text)).collect();
            deltas.push(json!({"type": "response.function_call_arguments.done", "arguments": arguments}));
            let begun = function_call("in_progress", "");
            Item { begun, deltas, whole: function_call("completed", arguments) }
        }
    }
}

fn response(answer: usize, status: &str, output: &[Value]) -> Value {
    json!({
        "id": format!("resp_{answer}"), "object": "response", "status": status, "error": null,
        "incomplete_details": null, "output": output, "usage": null,
    })
}

fn usage(tokens: &Tokens) -> Value {
    let mut usage = json!({"input_tokens": tokens.input, "output_tokens": tokens.output});
    if let Some(measure) = tokens.measure {
        usage["input_tokens_details"] = json!({"cached_tokens": measure.cached});
    }
    usage
}
