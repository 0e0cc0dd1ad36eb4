//! The conversation with the model is a pure function of the events, so that a new attempt goes on with exactly
//! what the one before it said.

use serde::Serialize;
use serde_json::{Value, json};
use shared::events::{Event, EventType, NewEvent};

/// One message as a chat model takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// system, user or assistant.
    pub role: &'static str,
    /// Clean text.
    pub content: String,
}

impl Message {
    /// The app's instructions, where it has some, and the rendered prompt.
    pub(super) fn opening(instructions: &str, prompt: &str) -> Vec<Self> {
        let system = (!instructions.trim().is_empty())
            .then(|| Self { role: "system", content: instructions.to_owned() });
        system.into_iter().chain([Self { role: "user", content: prompt.to_owned() }]).collect()
    }

    pub(super) fn event(&self) -> NewEvent {
        NewEvent::message(json!({ "role": self.role, "content": self.content }))
    }
}

/// The messages that the events record.
pub(super) fn rebuild(events: &[Event]) -> Vec<Message> {
    let messages = events.iter().filter(|event| event.r#type == EventType::Message.as_str());
    messages.filter_map(|event| message(&event.data)).collect()
}

fn message(data: &Value) -> Option<Message> {
    let role = ["system", "user", "assistant"].into_iter().find(|role| data["role"] == *role)?;
    Some(Message { role, content: data["content"].as_str()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_rebuilt() {
        let said = Message::opening("Be brief.", "Hello");
        let kinds = [(EventType::RunStarted, json!({"worker": "w"}))].into_iter();
        let recorded: Vec<_> = kinds
            .chain(said.iter().map(|message| (EventType::Message, message.event().data)))
            .zip(1..)
            .map(|((kind, data), seq)| Event {
                seq,
                r#type: kind.as_str().to_owned(),
                at: chrono::DateTime::UNIX_EPOCH,
                attempt: 1,
                data,
            })
            .collect();
        assert_eq!(rebuild(&recorded), said);
        assert_eq!(Message::opening(" ", "Hello").len(), 1);
    }
}
