//! Renders events as the items of the thread. Pure. A tool's result is part of its call's item, if both are
//! in these events. Otherwise the page's script moves it there (`data-into`).

use std::collections::HashMap;

use askama::Template;
use gateway_domain::runs::reasoning_text;
use shared::ids::RunId;
use shared::runs::Source;
use shared::runs::events::{Event, EventData, LoggedAnswer, LoggedMessage, StepUsage};
use uuid::Uuid;

use super::call::{Call, ToolOutput};
use super::summary::File;
use crate::console::format::Timestamp;
use crate::console::markdown::to_html;
use crate::console::shown::{IN_JSONL, Room, Shown};
use crate::http::ApiError;

/// Bytes of all texts in the items that are rendered at once: what is read at once, and one long event.
const THREAD_BYTES: usize = 512 << 10;

enum Kind<'e> {
    Message {
        role: &'static str,
        /// Safe HTML.
        html: String,
        thoughts: Option<Shown<'static>>,
        tokens: String,
    },
    /// The messages that begin the conversation. They are long, and the same in each run of an app.
    Opening {
        title: &'static str,
        text: Shown<'e>,
    },
    Call {
        asked: Call,
        output: Option<ToolOutput<'e>>,
    },
    Output(ToolOutput<'e>),
    Artifact(File),
    Note(&'e str),
    /// One line.
    State {
        text: String,
        kind: &'static str,
    },
}

#[derive(Template)]
#[template(path = "run/item.html")]
struct Item<'e> {
    run: RunId,
    seq: i64,
    at: Timestamp,
    attempt: i32,
    kind: Kind<'e>,
}

/// Results of tools by their call.
type Outputs<'e> = HashMap<Uuid, ToolOutput<'e>>;

/// Renders the items of the list.
pub(crate) fn render(run: RunId, events: &[Event]) -> Result<String, ApiError> {
    let read: Vec<(&Event, Option<EventData>)> =
        events.iter().map(|event| (event, event.read().ok().flatten())).collect();
    let mut room = Room::new(THREAD_BYTES, IN_JSONL);
    let mut outputs = Outputs::new();
    for (event, data) in &read {
        if let Some(EventData::ToolResult(result)) = data {
            outputs.insert(result.call_id, ToolOutput::of(event.seq, result, &mut room));
        }
    }
    let mut html = String::new();
    for (event, data) in &read {
        let kind = match data {
            Some(data) => kind_of(event, data, &mut outputs, &mut room),
            // An event of a newer version: its type is all that this version can show.
            None => state(event.r#type.clone(), ""),
        };
        let Some(kind) = kind else { continue };
        let item = Item { run, seq: event.seq, at: Timestamp(event.at), attempt: event.attempt, kind };
        item.render_into(&mut html).map_err(|error| ApiError::fault(&error))?;
    }
    Ok(html)
}

#[expect(clippy::unnecessary_wraps, reason = "one type with the other kinds")]
fn state<'e>(text: String, kind: &'static str) -> Option<Kind<'e>> {
    Some(Kind::State { text, kind })
}

fn kind_of<'e>(
    event: &Event,
    data: &'e EventData,
    outputs: &mut Outputs<'e>,
    room: &mut Room,
) -> Option<Kind<'e>> {
    match data {
        EventData::Message(message) => message_of(message, room),
        EventData::ToolCall(call) => {
            Some(Kind::Call { asked: Call::of(call, room), output: outputs.remove(&call.call_id) })
        }
        // If the call is in these events, its item already has the result.
        EventData::ToolResult(result) => {
            let alone = outputs.get(&result.call_id).is_some_and(|output| output.seq == event.seq);
            if alone { outputs.remove(&result.call_id).map(Kind::Output) } else { None }
        }
        EventData::Artifact(artifact) => Some(Kind::Artifact(File::published(artifact))),
        EventData::Note(note) => Some(Kind::Note(&note.text)),
        EventData::RunCreated(created) => {
            let source = if created.source == Source::Api.as_str() { "API" } else { &created.source };
            state(format!("Created from the {source}"), "")
        }
        EventData::RunStarted(started) => state(format!("Started by {}", started.worker), ""),
        EventData::RunTakenOver(taken) => {
            state(format!("Attempt {}: taken over by {}", event.attempt, taken.worker), "warn")
        }
        EventData::RunCompleted {} => state("Completed".to_owned(), "good"),
        EventData::RunFailed(failed) => state(format!("Failed: {}", failed.error.code), "bad"),
        EventData::RunCancelled {} => state("Cancelled".to_owned(), "warn"),
    }
}

fn message_of<'e>(message: &'e LoggedMessage, room: &mut Room) -> Option<Kind<'e>> {
    let mut opening = |title, text: &'e str| Some(Kind::Opening { title, text: room.show(text) });
    match message {
        LoggedMessage::System { content } if content.is_empty() => None,
        LoggedMessage::System { content } => opening("Instructions", content),
        LoggedMessage::User { content, .. } => opening("Prompt", content),
        LoggedMessage::Assistant(LoggedAnswer { content, usage, reasoning, .. }) => Some(Kind::Message {
            role: "Agent",
            html: to_html(content, room),
            thoughts: reasoning.as_ref().and_then(reasoning_text).map(|text| room.show(text)),
            tokens: tokens_of(usage),
        }),
    }
}

fn tokens_of(usage: &StepUsage) -> String {
    let cached = usage.cached_input_tokens.filter(|cached| *cached > 0);
    let cached = cached.map(|cached| format!(" ({cached} cached)")).unwrap_or_default();
    format!("{} in{cached}, {} out", usage.input_tokens, usage.output_tokens)
}

#[cfg(test)]
mod tests;
