//! A tool call and its result, as an item of the thread shows them.

use serde_json::Value;
use shared::runs::events::{ToolCall, ToolResult};
use uuid::Uuid;

use super::pages::{Found, web_url};
use crate::console::shown::{Room, Shown};

/// A call with more arguments is shown as it was written.
const MAX_ARGUMENTS: usize = 50;
/// The argument that says what a search is about. Other calls are described by their first argument.
const QUERY: &str = "query";

/// An argument of a call.
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) text: Shown<'static>,
}

/// What the model wants a tool to do.
pub(super) struct Call {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) about: String,
    pub(super) link: Option<String>,
    pub(super) arguments: Vec<Argument>,
}

/// What a tool returned.
pub(super) struct ToolOutput<'e> {
    pub(super) seq: i64,
    pub(super) call: Uuid,
    pub(super) text: Shown<'e>,
    pub(super) failed: bool,
    /// The web pages that the call found or read.
    pub(super) found: Option<Found>,
}

impl Call {
    pub(super) fn of(call: &ToolCall, room: &mut Room) -> Self {
        let raw = &call.arguments;
        let parsed: Value = serde_json::from_str(raw).unwrap_or_default();
        let arguments: Vec<(String, String)> = match &parsed {
            Value::Object(members) if members.len() <= MAX_ARGUMENTS => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                members.iter().map(|(name, value)| (start(name), text(value))).collect()
            }
            _ if raw.is_empty() => Vec::new(),
            _ => vec![("arguments".to_owned(), raw.clone())],
        };
        let link = parsed.get("url").and_then(Value::as_str).filter(|url| web_url(url).is_some());
        let query = arguments.iter().find(|(name, _)| name == QUERY);
        let about = query.or(arguments.first()).filter(|_| link.is_none());
        let about = about.map(|(_, text)| start(text.lines().next().unwrap_or_default()));
        Self {
            id: call.call_id,
            name: start(&call.name),
            about: about.unwrap_or_default(),
            link: link.map(str::to_owned),
            arguments: arguments
                .into_iter()
                .map(|(name, text)| Argument { name, text: room.show(text) })
                .collect(),
        }
    }
}

impl<'e> ToolOutput<'e> {
    pub(super) fn of(seq: i64, result: &'e ToolResult, room: &mut Room) -> Self {
        let found = Found::of(&result.sources, room);
        let text = room.show(result.content.as_str());
        Self { seq, call: result.call_id, text, failed: result.is_error, found }
    }
}

/// The first characters of a text, for one line.
fn start(text: &str) -> String {
    text.chars().take(100).collect()
}
