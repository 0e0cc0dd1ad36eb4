//! The conversation, and what has been spent on it, as a pure function of the events: a new attempt goes on with exactly what the
//! one before it said. The running attempt builds it in the same way, event by event, so the two cannot differ.

use std::collections::VecDeque;

use serde_json::Value;
use shared::events::{EventType, NewEvent};
use uuid::Uuid;

use super::budget::Spent;
use super::message::{self, Call, Message};
use crate::model::{CONTENT_FILTER, LENGTH, OVERSIZED};

/// Finish reasons that make an answer the last one, whatever it calls.
const BROKEN_OFF: [&str; 6] = [LENGTH, OVERSIZED, CONTENT_FILTER, "abort", "cancelled", "error"];

/// What the log says so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    messages: Vec<Message>,
    open: VecDeque<OpenCall>,
    finish_reason: String,
    spent: Spent,
    notes: Vec<String>,
    artifacts: usize,
    snapshot: Option<Value>,
}

/// A call without a result.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCall {
    /// The call.
    pub call: Call,
    /// Whether its intent is in the log: the tool may have begun.
    pub intended: bool,
}

/// What a run does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing was said yet.
    Begin,
    /// The model is to be asked.
    Ask,
    /// Tools are to be called.
    Call,
    /// The model has said its last word, for whatever reason.
    Answered,
}

impl Transcript {
    /// From a log.
    pub fn rebuild<'e>(events: impl IntoIterator<Item = (&'e str, &'e Value)>) -> Self {
        let mut transcript = Self::default();
        for (kind, data) in events {
            transcript.take(kind, data);
        }
        transcript
    }

    /// Takes one more event.
    pub fn apply(&mut self, event: &NewEvent) {
        self.take(event.kind.as_str(), &event.data);
    }

    fn take(&mut self, kind: &str, data: &Value) {
        let Some(kind) = EventType::ALL.into_iter().find(|known| known.as_str() == kind) else { return };
        let call_id = || data["callId"].as_str().and_then(|id| id.parse::<Uuid>().ok());
        match kind {
            EventType::Message => self.take_message(data),
            EventType::ToolCall => {
                let id = call_id();
                for open in self.open.iter_mut().filter(|open| Some(open.call.id) == id) {
                    open.intended = true;
                }
            }
            EventType::ToolResult => {
                let (id, content) = (call_id(), data["content"].as_str().unwrap_or_default());
                if let Some(snapshot) = data.get("workspace") {
                    self.snapshot = Some(snapshot.clone());
                }
                if let Some(at) = self.open.iter().position(|open| Some(open.call.id) == id)
                    && let Some(open) = self.open.remove(at)
                {
                    self.spent.output(content.len());
                    self.messages
                        .push(Message::Tool { call: open.call.provider_id, content: content.to_owned() });
                }
            }
            EventType::Artifact => {
                self.artifacts += 1;
                self.spent.output(data["size"].as_u64().and_then(|size| size.try_into().ok()).unwrap_or(0));
            }
            EventType::Note => {
                self.notes.push(data["kind"].as_str().unwrap_or_default().to_owned());
                self.messages.push(Message::User(data["text"].as_str().unwrap_or_default().to_owned()));
            }
            _ => {}
        }
    }

    fn take_message(&mut self, data: &Value) {
        let Some(message) = message::read(data) else { return };
        if let Message::Assistant { calls, .. } = &message {
            self.spent.step(&data["usage"], calls.len());
            self.spent.output(message.bytes());
            self.open = calls.iter().map(|call| OpenCall { call: call.clone(), intended: false }).collect();
            data["finishReason"].as_str().unwrap_or_default().clone_into(&mut self.finish_reason);
        }
        self.messages.push(message);
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.messages.last() {
            None => Next::Begin,
            Some(Message::Assistant { calls, .. }) if calls.is_empty() || self.is_broken_off() => {
                Next::Answered
            }
            _ if !self.open.is_empty() => Next::Call,
            _ => Next::Ask,
        }
    }

    /// The conversation.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Calls without a result, in their order.
    #[must_use]
    pub fn open(&self) -> &VecDeque<OpenCall> {
        &self.open
    }

    /// What it has taken.
    #[must_use]
    pub const fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Of the last answer, in the server's word.
    #[must_use]
    pub fn finish_reason(&self) -> &str {
        &self.finish_reason
    }

    /// Whether the last answer is not whole.
    #[must_use]
    pub fn is_broken_off(&self) -> bool {
        BROKEN_OFF.contains(&self.finish_reason.as_str())
    }

    /// Whether capi has said something of this kind.
    #[must_use]
    pub fn has_note(&self, kind: &str) -> bool {
        self.notes.iter().any(|noted| noted == kind)
    }

    /// The model's last words that are any.
    #[must_use]
    pub fn last_text(&self) -> &str {
        let texts = self.messages.iter().rev().filter_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
    }

    /// The workspace as the last step that changed it left it, in an event's words.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Value> {
        self.snapshot.as_ref()
    }

    /// Files that were published.
    #[must_use]
    pub const fn artifacts(&self) -> usize {
        self.artifacts
    }
}

#[cfg(test)]
mod tests;
