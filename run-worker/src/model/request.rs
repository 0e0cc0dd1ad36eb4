//! The body of a chat completion: pure.

use serde_json::{Map, Value, json};

use super::Message;

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// The conversation.
    pub messages: &'r [Message],
    /// What the model may call.
    pub tools: &'r [Offered<'r>],
    /// JSON Schema that the answer should match, for models that can be held to one.
    pub schema: Option<&'r Value>,
    /// Tokens of the answer.
    pub max_tokens: u32,
}

/// A tool as a model is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'r> {
    pub name: &'r str,
    pub description: &'r str,
    /// JSON Schema.
    pub parameters: &'r Value,
}

/// The body; `returns_reasoning` where the server wants its own reasoning back.
pub(super) fn body(model: &str, returns_reasoning: bool, request: Request<'_>) -> Value {
    let mut body = json!({
        "model": model, "messages": messages(request.messages, returns_reasoning), "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": request.max_tokens,
    });
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(offer).collect();
    }
    if let Some(schema) = request.schema {
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "result", "schema": schema}});
    }
    body
}

/// The conversation as it is sent. What capi says in between is joined to what it stands behind: some servers refuse two messages of
/// the user in a row, or one behind a tool's.
#[must_use]
pub fn messages(messages: &[Message], returns_reasoning: bool) -> Value {
    let mut sent: Vec<Value> = Vec::new();
    for message in messages {
        match (message, sent.last_mut()) {
            (Message::User(text), Some(before)) if before["role"] == "tool" || before["role"] == "user" => {
                let joined = format!("{}\n\n{text}", before["content"].as_str().unwrap_or_default());
                before["content"] = json!(joined);
            }
            _ => sent.push(shown(message, returns_reasoning)),
        }
    }
    sent.into()
}

fn offer(tool: &Offered<'_>) -> Value {
    json!({
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    })
}

fn shown(message: &Message, returns_reasoning: bool) -> Value {
    match message {
        Message::System(text) => json!({"role": "system", "content": text}),
        Message::User(text) => json!({"role": "user", "content": text}),
        Message::Tool { call, content } => json!({"role": "tool", "tool_call_id": call, "content": content}),
        Message::Assistant { text, reasoning, calls } => {
            let mut shown = Map::new();
            if let Some(Value::Object(fields)) = reasoning.as_ref().filter(|_| returns_reasoning) {
                shown.extend(fields.clone());
            }
            shown.insert("role".to_owned(), json!("assistant"));
            // An empty text beside calls is refused by some servers, and a missing one by others.
            let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
            shown.insert("content".to_owned(), content);
            if !calls.is_empty() {
                let calls = calls.iter().map(|call| {
                    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
                });
                shown.insert("tool_calls".to_owned(), calls.collect());
            }
            Value::Object(shown)
        }
    }
}
