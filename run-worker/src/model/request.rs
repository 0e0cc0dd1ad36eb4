//! The body of a request for a chat completion: pure.

use serde_json::{Map, Value, json};

use super::Message;

/// One request to a model.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub messages: &'r [Message],
    pub tools: &'r [Offered<'r>],
    /// The JSON Schema of the answer, for models that take one.
    pub schema: Option<&'r Value>,
    /// The most tokens of the answer.
    pub max_tokens: u32,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'r> {
    pub name: &'r str,
    pub description: &'r str,
    /// JSON Schema.
    pub parameters: &'r Value,
}

/// `returns_reasoning` says that the server expects its own reasoning fields back.
pub(super) fn body(model: &str, returns_reasoning: bool, request: Request<'_>) -> Value {
    let mut body = json!({
        "model": model, "messages": messages(request.messages, returns_reasoning),
        "stream": true, "stream_options": {"include_usage": true}, "max_tokens": request.max_tokens,
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

/// The conversation as it is sent. A note is joined to the message before it: some servers reject two user
/// messages in a row, or a user message after a tool's result.
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
            // Beside calls, some servers reject an empty text, and others a missing one.
            let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
            shown.insert("content".to_owned(), content);
            if !calls.is_empty() {
                let calls = calls.iter().map(|call| {
                    let function = json!({"name": call.name, "arguments": call.arguments});
                    json!({"id": call.id, "type": "function", "function": function})
                });
                shown.insert("tool_calls".to_owned(), calls.collect());
            }
            Value::Object(shown)
        }
    }
}
