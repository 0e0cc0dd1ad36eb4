//! Chat completions: the protocol of most model servers. Servers also send `finish_reason: ""`, an empty or
//! missing `usage`, empty `choices`, content in parts, and calls in several shapes. All of that is accepted.

use serde_json::{Map, Value, json};
use shared::config::{ModelSettings, StructuredOutput};

use super::{Failure, Outgoing, Provider, bearer, data_url, is_error};
use crate::assemble::{Assembly, THINK, Usage};
use crate::calls::Piece;
use crate::json::{content, number, object, others};
use crate::{Call, Message, Picture};

pub(super) struct Openai;

/// Fields of a message that a server may want back, with its reasoning.
const KEPT_TEXTS: [&str; 2] = ["reasoning_content", "reasoning"];
const KEPT_LIST: &str = "reasoning_details";
const KEPT_OBJECT: &str = "extra_content";
/// The fields of a call that capi reads, or that only number its pieces.
const KNOWN_OF_CALL: [&str; 6] = ["index", "id", "type", "function", "name", "arguments"];

impl Provider for Openai {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn headers(&self, key: Option<&str>) -> Vec<(&'static str, String)> {
        bearer(key)
    }

    fn body(&self, request: &Outgoing<'_>) -> Value {
        let settings = request.settings;
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(settings.model));
        body.insert("messages".to_owned(), messages(settings, request.messages));
        body.insert("stream".to_owned(), json!(settings.stream));
        if settings.stream && settings.stream_usage {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        if let Some((name, most)) = settings.token_parameter.name().zip(request.max_tokens) {
            body.insert(name.to_owned(), json!(most));
        }
        if let Some(effort) = &settings.reasoning_effort {
            body.insert("reasoning_effort".to_owned(), json!(effort));
        }
        if !request.tools.is_empty() {
            let offered = request.tools.iter().map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool.name, "description": tool.description, "parameters": tool.parameters,
                }})
            });
            body.insert("tools".to_owned(), offered.collect());
            if let Some(parallel) = settings.parallel_tool_calls {
                body.insert("parallel_tool_calls".to_owned(), json!(parallel));
            }
            if request.no_calls {
                body.insert("tool_choice".to_owned(), json!("none"));
            }
        }
        if let Some(schema) = request.schema {
            let format = if settings.structured_output == StructuredOutput::JsonObject {
                json!({"type": "json_object"})
            } else {
                json!({"type": "json_schema", "json_schema": {"name": "result", "schema": schema}})
            };
            body.insert("response_format".to_owned(), format);
        }
        Value::Object(body)
    }

    fn add(&self, event: &Value, assembly: &mut Assembly) -> Result<(), Failure> {
        if let Some(failure) = failure(event) {
            return Err(Failure(failure));
        }
        assembly.usage(usage(&event["usage"]));
        // Groq and Moonshot send the usage elsewhere.
        assembly.usage(usage(&event["x_groq"]["usage"]));
        // capi asks for one choice.
        let is_first = |choice: &&Value| number(&choice["index"]).unwrap_or(0) == 0;
        let mut choices = event["choices"].as_array().into_iter().flatten();
        let Some(choice) = choices.find(is_first) else { return Ok(()) };
        assembly.usage(usage(&choice["usage"]));
        // A chunk has a delta, and a whole answer has a message. Some servers send both, one of them null or
        // empty.
        let is_filled = |part: &&Value| part.as_object().is_some_and(|members| !members.is_empty());
        let parts = [&choice["delta"], &choice["message"]];
        if let Some(part) = parts.into_iter().find(is_filled) {
            add_message(part, assembly);
        } else if let Some(text) = choice["text"].as_str() {
            assembly.text(text);
        }
        assembly.finish(choice["finish_reason"].as_str().unwrap_or_default());
        Ok(())
    }
}

/// The error that the server reports in an event.
fn failure(event: &Value) -> Option<Value> {
    if event["object"] == "error" {
        return Some(json!({"message": event["message"], "code": event["code"], "type": event["type"]}));
    }
    let error = &event["error"];
    if is_error(error) {
        return Some(error.clone());
    }
    // OpenRouter reports an error of the server behind it in the choice.
    let error = &event["choices"][0]["error"];
    error.is_object().then(|| error.clone())
}

fn usage(usage: &Value) -> Usage {
    let prompt = &usage["prompt_tokens_details"];
    // OpenAI; DeepSeek; Moonshot.
    let cached = [&prompt["cached_tokens"], &usage["prompt_cache_hit_tokens"], &usage["cached_tokens"]];
    Usage {
        input: number(&usage["prompt_tokens"]),
        output: number(&usage["completion_tokens"]),
        total: number(&usage["total_tokens"]),
        cached_input: cached.into_iter().find_map(number),
        reasoning: [&usage["completion_tokens_details"], usage]
            .into_iter()
            .find_map(|details| number(&details["reasoning_tokens"])),
    }
}

fn add_message(part: &Value, assembly: &mut Assembly) {
    if let Some(text) = content(&part["content"]) {
        assembly.text(&text);
    }
    if let Some(refusal) = part["refusal"].as_str() {
        assembly.refusal(refusal);
    }
    for name in KEPT_TEXTS {
        if let Some(text) = content(&part[name]) {
            assembly.keep_text(name, &text);
        }
    }
    for block in part[KEPT_LIST].as_array().into_iter().flatten() {
        assembly.keep_item(KEPT_LIST, block.clone());
    }
    if part[KEPT_OBJECT].is_object() {
        assembly.keep(KEPT_OBJECT, part[KEPT_OBJECT].clone());
    }
    for piece in calls_of(&part["tool_calls"]).into_iter().filter_map(piece) {
        assembly.call(piece);
    }
    // The form before `tool_calls`.
    if let Some(piece) = piece(&part["function_call"]) {
        assembly.call(piece);
    }
}

/// The calls of a list, of an object with numbers as keys, or one call alone.
fn calls_of(calls: &Value) -> Vec<&Value> {
    match calls {
        Value::Array(all) => all.iter().collect(),
        Value::Object(members)
            if members.values().all(Value::is_object) && !members.contains_key("function") =>
        {
            members.values().collect()
        }
        Value::Object(_) => vec![calls],
        _ => Vec::new(),
    }
}

fn piece(call: &Value) -> Option<Piece> {
    call.as_object()?;
    let function = if call["function"].is_object() { &call["function"] } else { call };
    let owned = |value: &Value| value.as_str().map(str::to_owned);
    Some(Piece {
        index: number(&call["index"]),
        id: owned(&call["id"]),
        name: owned(&function["name"]),
        arguments: function.get("arguments").cloned(),
        whole: false,
        extra: others(call, &KNOWN_OF_CALL),
    })
}

/// The conversation as it is sent. A note is joined to the message before it: some servers reject two user
/// messages in a row, or a user message after a tool's result.
pub(super) fn messages(settings: &ModelSettings, messages: &[Message]) -> Value {
    let mut sent: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        match (message, sent.last_mut()) {
            (Message::User { text, pictures }, Some(before))
                if (pictures.is_empty() || !settings.vision)
                    && (before["role"] == "tool" || before["role"] == "user") =>
            {
                join(before, text);
            }
            // Pictures that several calls of a step showed.
            (Message::User { .. }, Some(before)) if before["role"] == "user" => {
                add_parts(before, shown(settings, message)["content"].take());
            }
            _ => sent.push(shown(settings, message)),
        }
    }
    sent.into()
}

fn join(before: &mut Value, note: &str) {
    match &mut before["content"] {
        Value::Array(parts) => parts.push(json!({"type": "text", "text": note})),
        content => *content = json!(format!("{}\n\n{note}", content.as_str().unwrap_or_default())),
    }
}

/// Joins the content of a user's message to the one before it.
fn add_parts(before: &mut Value, more: Value) {
    if let Value::String(text) = &before["content"] {
        let words = (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}));
        before["content"] = words.into_iter().collect();
    }
    if let (Value::Array(parts), Value::Array(more)) = (&mut before["content"], more) {
        parts.extend(more);
    }
}

fn shown(settings: &ModelSettings, message: &Message) -> Value {
    match message {
        Message::System(text) => json!({"role": settings.instructions_role.as_str(), "content": text}),
        Message::User { text, pictures } if pictures.is_empty() || !settings.vision => {
            json!({"role": "user", "content": text})
        }
        Message::User { text, pictures } => {
            let words = (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}));
            let content = words.into_iter().chain(pictures.iter().map(image)).collect();
            object([("role", "user".into()), ("content", content)])
        }
        Message::Tool { call, content } => json!({"role": "tool", "tool_call_id": call, "content": content}),
        Message::Assistant { text, reasoning, calls } => {
            let reasoning = reasoning.as_ref().filter(|_| settings.returns_reasoning);
            assistant(text, reasoning, calls)
        }
    }
}

fn image(picture: &Picture) -> Value {
    let url = object([("url", data_url(picture).into())]);
    object([("type", "image_url".into()), ("image_url", url)])
}

fn assistant(text: &str, reasoning: Option<&Value>, calls: &[Call]) -> Value {
    let mut shown = Map::new();
    let mut text = text.to_owned();
    if let Some(Value::Object(fields)) = reasoning {
        for name in KEPT_TEXTS.into_iter().chain([KEPT_LIST, KEPT_OBJECT]) {
            if let Some(kept) = fields.get(name) {
                shown.insert(name.to_owned(), kept.clone());
            }
        }
        // MiniMax wants its thinking back where it was: in the text.
        if let Some(thought) = fields.get(THINK).and_then(Value::as_str) {
            text = format!("{thought}\n\n{text}");
        }
    }
    shown.insert("role".to_owned(), json!("assistant"));
    // Beside calls, some servers reject an empty text, and others a missing one.
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
    shown.insert("content".to_owned(), content);
    if !calls.is_empty() {
        shown.insert("tool_calls".to_owned(), calls.iter().map(shown_call).collect());
    }
    Value::Object(shown)
}

fn shown_call(call: &Call) -> Value {
    let mut shown = call.extra.clone().unwrap_or_default();
    shown.insert("id".to_owned(), json!(call.id));
    shown.insert("type".to_owned(), json!("function"));
    shown.insert("function".to_owned(), json!({"name": call.name, "arguments": call.arguments}));
    Value::Object(shown)
}

#[cfg(test)]
mod tests;
