//! Makes the body of a request. Pure.

use serde_json::{Map, Value, json};
use shared::config::StructuredOutput;

use super::schema::closed;
use super::{BLOCK, THINKING_BLOCKS, is_thinking};
use crate::json::object;
use crate::provider::Outgoing;
use crate::provider::kept::{Part, parts};
use crate::{Call, Message, Offered, Picture};

/// The server requires a limit. All models can write so many tokens.
const DEFAULT_MAX_TOKENS: u32 = 8192;
/// So many of the newest user turns end in a cache breakpoint. At the older one, the previous request wrote
/// the cache, so the server finds it. With the tools and the system prompt there are four breakpoints. The
/// server takes no more.
const CACHED_TURNS: usize = 2;

const USER: &str = "user";
const ASSISTANT: &str = "assistant";

pub(super) fn body(request: &Outgoing<'_>) -> Value {
    let settings = request.settings;
    let mut body = json!({
        "model": settings.model,
        "max_tokens": request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        "stream": settings.stream,
    });
    body["messages"] = messages(request).into();
    let system = system(request.messages);
    if !system.is_empty() {
        body["system"] = system.into();
    }
    if !request.tools.is_empty() {
        body["tools"] = tools(request.tools).into();
        if request.no_calls {
            body["tool_choice"] = json!({"type": "none"});
        } else if settings.parallel_tool_calls == Some(false) {
            body["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
        }
    }
    let output = output_config(request);
    if !output.is_empty() {
        body["output_config"] = output.into();
    }
    body
}

fn output_config(request: &Outgoing<'_>) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(effort) = &request.settings.reasoning_effort {
        config.insert("effort".to_owned(), json!(effort));
    }
    // The server has no mode for JSON without a schema.
    let enforced = request.settings.structured_output == StructuredOutput::ResponseFormat;
    if let Some(schema) = request.schema.filter(|_| enforced) {
        config.insert("format".to_owned(), json!({"type": "json_schema", "schema": closed(schema)}));
    }
    config
}

fn system(messages: &[Message]) -> Vec<Value> {
    let texts = messages.iter().filter_map(|message| match message {
        Message::System(text) => text_block(text),
        _ => None,
    });
    ending_in_breakpoint(texts.collect())
}

fn tools(tools: &[Offered<'_>]) -> Vec<Value> {
    let tools = tools.iter().map(
        |tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}),
    );
    ending_in_breakpoint(tools.collect())
}

/// Consecutive messages of one role, joined, because the server requires alternating roles.
struct Turn {
    role: &'static str,
    /// The results of tool calls, which must come first.
    results: Vec<Value>,
    blocks: Vec<Value>,
}

fn messages(request: &Outgoing<'_>) -> Vec<Value> {
    let mut turns: Vec<Turn> = Vec::new();
    for message in request.messages {
        let Some(more) = turn(message, request) else {
            continue;
        };
        match turns.last_mut().filter(|turn| turn.role == more.role) {
            Some(turn) => {
                turn.results.extend(more.results);
                turn.blocks.extend(more.blocks);
            }
            None => turns.push(more),
        }
    }
    for turn in turns.iter_mut().rev().filter(|turn| turn.role == USER).take(CACHED_TURNS) {
        if let Some(last) = turn.blocks.last_mut().or(turn.results.last_mut()) {
            set_breakpoint(last);
        }
    }
    if let Some(last) = turns.last_mut().filter(|turn| turn.role == ASSISTANT) {
        trim_end(last);
    }
    let sent = turns.into_iter().map(|turn| {
        let blocks: Vec<Value> = turn.results.into_iter().chain(turn.blocks).collect();
        object([("role", turn.role.into()), ("content", blocks.into())])
    });
    sent.collect()
}

/// `None` for a message without content.
fn turn(message: &Message, request: &Outgoing<'_>) -> Option<Turn> {
    let settings = request.settings;
    let (role, results, blocks) = match message {
        Message::System(_) => return None,
        Message::User { text, pictures } => {
            // The server recommends pictures before text.
            let images = pictures.iter().filter(|_| settings.vision).map(image);
            (USER, vec![], images.chain(text_block(text)).collect::<Vec<_>>())
        }
        Message::Tool { call, content } => (USER, vec![result(call, content)], vec![]),
        Message::Assistant { text, reasoning, calls } => {
            let reasoning = reasoning.as_ref().filter(|_| settings.returns_reasoning);
            (ASSISTANT, vec![], answered(text, reasoning, calls))
        }
    };
    (!results.is_empty() || !blocks.is_empty()).then_some(Turn { role, results, blocks })
}

fn answered(text: &str, reasoning: Option<&Value>, calls: &[Call]) -> Vec<Value> {
    let parts = parts(reasoning, (THINKING_BLOCKS, BLOCK), text, calls).into_iter();
    let blocks = parts.filter_map(|part| match part {
        Part::Kept(block) => is_thinking(block).then(|| block.clone()),
        Part::Text(text) => text_block(text),
        Part::Call(call) => Some(tool_use(call)),
    });
    blocks.collect()
}

/// `None` for a blank text, which the server rejects.
fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn image(picture: &Picture) -> Value {
    let source = object([
        ("type", "base64".into()),
        ("media_type", picture.media_type.as_str().into()),
        ("data", Value::from(&*picture.base64)),
    ]);
    object([("type", "image".into()), ("source", source)])
}

fn tool_use(call: &Call) -> Value {
    let input = serde_json::from_str(&call.arguments).ok().filter(Value::is_object);
    let mut block = call.extra.clone().unwrap_or_default();
    let own = [
        ("type", json!("tool_use")),
        ("id", json!(call.id)),
        ("name", json!(call.name)),
        ("input", input.unwrap_or_else(|| json!({}))),
    ];
    block.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(block)
}

fn result(call: &str, content: &str) -> Value {
    let mut result = json!({"type": "tool_result", "tool_use_id": call});
    if !content.trim().is_empty() {
        result["content"] = json!(content);
    }
    result
}

fn ending_in_breakpoint(mut blocks: Vec<Value>) -> Vec<Value> {
    if let Some(last) = blocks.last_mut() {
        set_breakpoint(last);
    }
    blocks
}

fn set_breakpoint(block: &mut Value) {
    if let Some(members) = block.as_object_mut() {
        members.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
    }
}

/// The server rejects a conversation whose last message is the assistant's and ends in a blank.
fn trim_end(turn: &mut Turn) {
    if let Some(Value::String(text)) = turn.blocks.last_mut().and_then(|block| block.get_mut("text")) {
        let trimmed = text.trim_end().len();
        text.truncate(trimmed);
    }
}

#[cfg(test)]
mod tests;
