//! Chat completions of the scripted model.

use serde_json::{Value, json};

use super::answer::{Answer, halves};
use super::history::{Part, Turn};
use super::prefix::Block;
use super::protocol::{Protocol, arguments, list, said, string, text_of};

pub(super) fn turns(body: &Value) -> Vec<Turn> {
    list(&body["messages"]).iter().map(turn).collect()
}

fn turn(message: &Value) -> Turn {
    match message["role"].as_str().unwrap_or_default() {
        "system" | "developer" => Turn::System,
        "user" => Turn::User(text_of(&message["content"])),
        "tool" => Turn::Result(string(&message["tool_call_id"])),
        "assistant" => Turn::Answer(parts(message)),
        role => Turn::Odd(format!("a message of {role:?}")),
    }
}

fn parts(message: &Value) -> Vec<Part> {
    let thought = message.get("reasoning_content").cloned().map(Part::Thought);
    let calls = list(&message["tool_calls"]).iter().map(|call| Part::Call {
        id: string(&call["id"]),
        name: string(&call["function"]["name"]),
        arguments: arguments(&call["function"]["arguments"]),
    });
    thought.into_iter().chain(said(&message["content"])).chain(calls).collect()
}

pub(super) fn blocks(body: &Value) -> Vec<Block> {
    list(&body["tools"]).iter().chain(list(&body["messages"])).map(Block::of).collect()
}

pub(super) fn events(answer: &Answer) -> Vec<String> {
    let delta = |delta: Value| event(&json!({"choices": [{"index": 0, "delta": delta}]}));
    let mut events = vec![": a comment\n\n".to_owned()];
    if answer.thinks
        && let Some(Part::Thought(Value::String(thought))) = answer.parts(Protocol::Chat).first()
    {
        events.extend(halves(thought).map(|piece| delta(json!({"reasoning_content": piece}))));
    }
    for _ in 0..answer.repeat {
        events.extend(halves(&answer.text).map(|piece| delta(json!({"content": piece}))));
    }
    for (index, call) in answer.calls.iter().enumerate() {
        let [first, second] = halves(&call.arguments);
        let begin = json!({
            "index": index, "id": Protocol::Chat.call_id(answer.number, index), "type": "function",
            "function": {"name": call.name, "arguments": first},
        });
        let end = json!({"index": index, "function": {"arguments": second}});
        events.extend([begin, end].map(|piece| delta(json!({"tool_calls": [piece]}))));
    }
    events.push(event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})));
    if let Some(tokens) = &answer.tokens {
        let mut usage = json!({"prompt_tokens": tokens.input, "completion_tokens": tokens.output});
        if let Some(measure) = tokens.measure {
            usage["prompt_tokens_details"] = json!({"cached_tokens": measure.cached});
        }
        events.push(event(&json!({"choices": [], "usage": usage})));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// The events of an answer without a script, in two halves. Some servers send them so: each chunk has a
/// finish reason, which is empty at first, and the last one has content too.
pub(super) fn halves_of(text: &str) -> (Vec<String>, Vec<String>) {
    let chunk = |content: &str, finish_reason: &str| {
        let delta = json!({"content": content});
        event(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}))
    };
    let [first, second] = halves(text);
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}});
    let before = vec![": a comment\n\n".to_owned(), chunk(first, "")];
    let after = vec![chunk(second, "stop"), event(&usage), "data: [DONE]\n\n".to_owned()];
    (before, after)
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}
