//! The conversation, whatever a provider calls its parts; and how its parts are written to the log and read again.

use serde_json::{Value, json};
use shared::events::{EventType, NewEvent};
use uuid::Uuid;

use crate::model::Answer;

/// One message as a model is sent it. Clean text.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The app's instructions.
    System(String),
    /// The rendered prompt, or what capi says in between.
    User(String),
    /// What the model said.
    Assistant {
        /// May be empty where it calls tools.
        text: String,
        /// Under the names of its server's fields; null where there is none.
        reasoning: Value,
        /// The tools that it calls.
        calls: Vec<Call>,
    },
    /// What a tool returned.
    Tool {
        /// The provider's id of the call.
        call: String,
        /// For the model.
        content: String,
    },
}

impl Message {
    /// Bytes that a model reads, or said.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::System(text) | Self::User(text) | Self::Tool { content: text, .. } => text.len(),
            Self::Assistant { text, reasoning, calls } => {
                let thought = if reasoning.is_null() { 0 } else { reasoning.to_string().len() };
                calls
                    .iter()
                    .fold(text.len() + thought, |sum, call| sum + call.name.len() + call.arguments.len())
            }
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Ours: unique, and the id of an artifact that the call makes.
    pub id: Uuid,
    /// What the model's server knows it by: unique within its message.
    pub provider_id: String,
    /// Of a tool, if there is one of that name.
    pub name: String,
    /// JSON, if the model made no mistake.
    pub arguments: String,
}

/// Bytes of a call's arguments that its `tool.call` event shows; the message has them whole.
const MAX_SHOWN_ARGUMENTS: usize = 4 * 1024;

impl Call {
    /// The intent.
    pub(super) fn event(&self, step: i32) -> NewEvent {
        let shown = &self.arguments[..self.arguments.floor_char_boundary(MAX_SHOWN_ARGUMENTS)];
        let mut data = json!({"callId": self.id, "name": self.name, "arguments": shown, "step": step});
        if shown.len() < self.arguments.len() {
            data["truncated"] = json!(true);
        }
        NewEvent { kind: EventType::ToolCall, data }
    }

    /// What the model is told of it; `failed` where the tool did not do what it was asked for.
    pub(super) fn result(&self, content: &str, failed: bool) -> NewEvent {
        let data = json!({"callId": self.id, "name": self.name, "content": content, "isError": failed});
        NewEvent { kind: EventType::ToolResult, data }
    }

    fn stored(&self) -> Value {
        json!({"id": self.id, "providerId": self.provider_id, "name": self.name, "arguments": self.arguments})
    }

    fn read(stored: &Value) -> Option<Self> {
        let text = |name: &str| stored[name].as_str().map(str::to_owned);
        Some(Self {
            id: text("id")?.parse().ok()?,
            provider_id: text("providerId")?,
            name: text("name")?,
            arguments: text("arguments")?,
        })
    }
}

/// Something said to the model at the beginning.
pub(super) fn opening(role: &str, content: &str) -> NewEvent {
    NewEvent::message(json!({"role": role, "content": content}))
}

/// Something that capi says in between, of its own accord.
pub(super) fn note(kind: &str, text: &str) -> NewEvent {
    NewEvent { kind: EventType::Note, data: json!({"kind": kind, "text": text}) }
}

/// An answer, with ids for its calls. Tokens that the server did not count are estimated: `asked` and the answer's own.
pub(super) fn answered(answer: &Answer, asked_tokens: i64) -> NewEvent {
    let mut taken: Vec<&str> = Vec::new();
    let calls: Vec<_> = answer
        .calls
        .iter()
        .map(|wanted| {
            let id = Uuid::now_v7();
            let usable = !wanted.id.is_empty() && !taken.contains(&wanted.id.as_str());
            taken.push(&wanted.id);
            let provider_id = if usable { wanted.id.clone() } else { id.to_string() };
            Call { id, provider_id, name: wanted.name.clone(), arguments: wanted.arguments.clone() }.stored()
        })
        .collect();
    let usage = if let Some(counted) = answer.usage {
        json!({"inputTokens": counted.input, "outputTokens": counted.output})
    } else {
        let thought = answer.reasoning.as_ref().map_or(0, |reasoning| reasoning.to_string().len());
        let bytes =
            answer.calls.iter().fold(answer.text.len() + thought, |sum, call| sum + call.arguments.len());
        json!({"inputTokens": asked_tokens, "outputTokens": estimated_tokens(bytes), "estimated": true})
    };
    let mut data = json!({
        "role": "assistant", "content": &*answer.text, "finishReason": answer.finish_reason, "usage": usage,
    });
    if !calls.is_empty() {
        data["toolCalls"] = calls.into();
    }
    if let Some(reasoning) = &answer.reasoning {
        data["reasoning"] = reasoning.clone();
    }
    NewEvent::message(data)
}

/// A `message` event read again.
pub(super) fn read(data: &Value) -> Option<Message> {
    let content = data["content"].as_str()?.to_owned();
    Some(match data["role"].as_str()? {
        "system" => Message::System(content),
        "user" => Message::User(content),
        "assistant" => Message::Assistant {
            text: content,
            reasoning: data["reasoning"].clone(),
            calls: data["toolCalls"].as_array().into_iter().flatten().filter_map(Call::read).collect(),
        },
        _ => return None,
    })
}

/// A rule of thumb for text whose tokens nobody counted: four bytes each.
pub(super) fn estimated_tokens(bytes: usize) -> i64 {
    i64::try_from(bytes.div_ceil(4)).unwrap_or(i64::MAX)
}
