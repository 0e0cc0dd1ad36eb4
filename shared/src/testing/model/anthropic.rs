//! Anthropic's Messages API of the scripted model.

use serde_json::{Value, json};

use super::answer::{Answer, Tokens, pieces};
use super::history::{Part, Turn};
use super::prefix::Block;
use super::protocol::{Protocol, list, named, string, text_of};

/// The most cache breakpoints that the server takes.
const MAX_BREAKPOINTS: usize = 4;

pub(super) fn turns(body: &Value) -> Vec<Turn> {
    let mut turns = Vec::new();
    let breakpoints = blocks(body).iter().filter(|block| block.is_breakpoint).count();
    if breakpoints > MAX_BREAKPOINTS {
        turns.push(Turn::Odd(format!("{breakpoints} cache breakpoints")));
    }
    for (at, message) in list(&body["messages"]).iter().enumerate() {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("user") if at % 2 == 0 => {
                let results = list(content).iter().filter(|block| block["type"] == "tool_result");
                turns.extend(results.map(|block| Turn::Result(string(&block["tool_use_id"]))));
                let is_result = |block: &Value| block["type"] == "tool_result";
                let rest = list(content).iter().skip_while(|block| is_result(block));
                if rest.clone().any(is_result) {
                    turns.push(Turn::Odd("a result after a text".to_owned()));
                }
                if content.is_string() || rest.count() > 0 {
                    turns.push(Turn::User(text_of(content)));
                }
            }
            Some("assistant") if at % 2 == 1 => {
                turns.push(Turn::Answer(list(content).iter().map(part).collect()));
            }
            _ => turns.push(Turn::Odd(format!("message {at} is of {}", message["role"]))),
        }
    }
    turns
}

fn part(block: &Value) -> Part {
    match block["type"].as_str() {
        Some("text") => Part::Text(string(&block["text"])),
        Some("tool_use") => Part::Call {
            id: string(&block["id"]),
            name: string(&block["name"]),
            arguments: block["input"].clone(),
        },
        _ => Part::Thought(block.clone()),
    }
}

pub(super) fn blocks(body: &Value) -> Vec<Block> {
    let before = list(&body["tools"]).iter().chain(list(&body["system"])).map(|value| block("", value));
    let messages = list(&body["messages"]).iter().flat_map(|message| {
        let role = message["role"].as_str().unwrap_or_default();
        list(&message["content"]).iter().map(move |value| block(role, value))
    });
    before.chain(messages).collect()
}

fn block(role: &str, value: &Value) -> Block {
    let mut value = value.clone();
    let mark = value.as_object_mut().and_then(|members| members.remove("cache_control"));
    Block { text: format!("{role} {value}\n"), is_breakpoint: mark.is_some() }
}

pub(super) fn events(answer: &Answer) -> Vec<String> {
    let mut message = json!({
        "id": format!("msg_{}", answer.number), "type": "message", "role": "assistant", "content": [],
        "stop_reason": null, "stop_sequence": null,
    });
    if let Some(tokens) = &answer.tokens {
        message["usage"] = usage(tokens);
    }
    let mut events = vec![json!({"type": "message_start", "message": message}), json!({"type": "ping"})];
    let mut arguments = answer.calls.iter().map(|call| call.arguments.as_str());
    for (index, part) in answer.parts(Protocol::Anthropic).iter().enumerate() {
        let (begun, deltas) = content_block(part, &mut arguments);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let reason = match answer.finish.as_str() {
        "stop" => "end_turn",
        "tool_calls" => "tool_use",
        "length" => "max_tokens",
        "content_filter" => "refusal",
        other => other,
    };
    let mut last = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}});
    if let Some(tokens) = &answer.tokens {
        last["usage"] = json!({"output_tokens": tokens.output});
    }
    events.extend([last, json!({"type": "message_stop"})]);
    events.iter().map(named).collect()
}

/// The block at its begin, and its deltas.
fn content_block<'a>(part: &Part, arguments: &mut impl Iterator<Item = &'a str>) -> (Value, Vec<Value>) {
    let of_text = |kind: &str, member: &str, text: &str| {
        let delta = |piece: &str| json!({"type": format!("{kind}_delta"), member: piece});
        pieces(text).into_iter().map(delta).collect::<Vec<_>>()
    };
    match part {
        Part::Thought(thought) => {
            let text = |member: &str| thought[member].as_str().unwrap_or_default();
            let thinking = of_text("thinking", "thinking", text("thinking"));
            let signature = of_text("signature", "signature", text("signature"));
            let begun = json!({"type": "thinking", "thinking": "", "signature": ""});
            (begun, [thinking, signature].concat())
        }
        Part::Text(text) => (json!({"type": "text", "text": ""}), of_text("text", "text", text)),
        Part::Call { id, name, .. } => {
            let input = of_text("input_json", "partial_json", arguments.next().unwrap_or_default());
            (json!({"type": "tool_use", "id": id, "name": name, "input": {}}), input)
        }
    }
}

/// The cached tokens are no part of `input_tokens`.
fn usage(tokens: &Tokens) -> Value {
    let Some(measure) = tokens.measure else {
        return json!({"input_tokens": tokens.input, "output_tokens": 1});
    };
    json!({
        "input_tokens": measure.input - measure.cached - measure.written,
        "cache_read_input_tokens": measure.cached,
        "cache_creation_input_tokens": measure.written,
        "output_tokens": 1,
    })
}
