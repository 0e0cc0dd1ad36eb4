//! Renders events as the items of the thread. Pure. A tool's result is part of its call's item, if both are
//! in these events. Otherwise the page's script moves it there (`data-into`).

use std::collections::HashMap;

use askama::Template;
use gateway_domain::runs::reasoning_text;
use serde_json::Value;
use shared::ids::RunId;
use shared::runs::Source;
use shared::runs::events::{Event, EventData, LoggedAnswer, LoggedMessage, StepUsage, ToolCall, ToolResult};
use url::Url;
use uuid::Uuid;

use super::summary::File;
use crate::console::format::Timestamp;
use crate::console::markdown::to_html;
use crate::console::shown::{IN_JSONL, Room, Shown};
use crate::http::ApiError;

/// Bytes of all texts in the items that are rendered at once: what is read at once, and one long event.
const THREAD_BYTES: usize = 512 << 10;
/// A call with more arguments is shown as it was written.
const MAX_ARGUMENTS: usize = 50;
/// A longer address is no link.
const MAX_LINK_BYTES: usize = 2048;

/// An argument of a call.
struct Argument {
    name: String,
    text: Shown<'static>,
}

/// What a tool returned.
struct ToolOutput<'e> {
    seq: i64,
    call: Uuid,
    text: Shown<'e>,
    failed: bool,
}

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
        id: Uuid,
        name: String,
        about: String,
        link: Option<String>,
        arguments: Vec<Argument>,
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
            outputs.insert(result.call_id, output(event.seq, result, &mut room));
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
        EventData::ToolCall(call) => Some(call_of(call, outputs.remove(&call.call_id), room)),
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

fn call_of<'e>(call: &'e ToolCall, output: Option<ToolOutput<'e>>, room: &mut Room) -> Kind<'e> {
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
    let link = parsed.get("url").and_then(Value::as_str).filter(|url| is_web(url)).map(str::to_owned);
    let about = arguments.first().filter(|_| link.is_none());
    Kind::Call {
        id: call.call_id,
        name: start(&call.name),
        about: about.map(|(_, text)| start(text.lines().next().unwrap_or_default())).unwrap_or_default(),
        link,
        arguments: arguments
            .into_iter()
            .map(|(name, text)| Argument { name, text: room.show(text) })
            .collect(),
        output,
    }
}

/// The first characters of a text, for one line.
fn start(text: &str) -> String {
    text.chars().take(100).collect()
}

fn is_web(url: &str) -> bool {
    url.len() <= MAX_LINK_BYTES && Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn output<'e>(seq: i64, result: &'e ToolResult, room: &mut Room) -> ToolOutput<'e> {
    let text = room.show(result.content.as_str());
    ToolOutput { seq, call: result.call_id, text, failed: result.is_error }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn events(all: &[(&str, Value)]) -> Vec<Event> {
        let event = |(at, (kind, data)): (usize, &(&str, Value))| Event {
            seq: i64::try_from(at).unwrap() + 1,
            r#type: (*kind).to_owned(),
            at: DateTime::UNIX_EPOCH,
            attempt: 1,
            data: data.clone(),
        };
        all.iter().enumerate().map(event).collect()
    }

    const CALL: &str = "01a227ce-c469-7567-8040-b5b344d83370";

    #[test]
    fn a_result_is_shown_in_its_call_or_alone_if_the_call_came_earlier() {
        let run = RunId::generate();
        let call = (
            "tool.call",
            json!({
                "callId": CALL, "name": "fetch_url", "step": 1,
                "arguments": "{\"url\":\"https://e.example/a\"}",
            }),
        );
        let result = (
            "tool.result",
            json!({"callId": CALL, "name": "fetch_url", "content": "a <b>page</b>", "isError": false}),
        );
        let both = render(run, &events(&[call.clone(), result.clone()])).unwrap();
        assert_eq!(both.matches("<li").count(), 1, "{both}");
        assert!(
            both.contains("href=\"https://e.example/a\"") && both.contains("a &#60;b&#62;page"),
            "{both}"
        );
        let alone = render(run, &events(&[result])).unwrap();
        assert!(alone.contains(&format!("data-into=\"call-{CALL}\"")), "{alone}");
        assert_eq!(render(run, &events(&[call])).unwrap().matches("<li").count(), 1);
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
        let all = events(&[
            ("message", json!({"role": "system", "content": hostile})),
            ("message", json!({"role": "user", "content": hostile})),
            (
                "message",
                json!({
                    "role": "assistant", "content": hostile, "reasoning": {"thinking": hostile},
                    "finishReason": hostile, "usage": {"inputTokens": 1, "outputTokens": 1},
                }),
            ),
            (
                "tool.call",
                json!({"callId": CALL, "name": hostile, "step": 1,
                    "arguments": json!({"url": "javascript:alert(1)", hostile: hostile}).to_string()}),
            ),
            ("tool.call", json!({"callId": Uuid::now_v7(), "name": "x", "arguments": hostile, "step": 1})),
            (
                "tool.result",
                json!({"callId": Uuid::now_v7(), "name": hostile, "content": hostile, "isError": false}),
            ),
            (
                "artifact",
                json!({"id": CALL, "title": hostile, "type": hostile, "size": 1, "sha256": hostile}),
            ),
            ("note", json!({"kind": hostile, "text": hostile})),
            ("run.created", json!({"source": hostile})),
            ("run.started", json!({"worker": hostile})),
            ("run.taken_over", json!({"worker": hostile, "losses": 1})),
            (
                "run.failed",
                json!({"error": {"code": hostile, "message": hostile, "step": null, "retryable": false}}),
            ),
            // An event that cannot be read is one line with its type.
            ("tool.call", json!({"callId": hostile})),
            ("artifact", json!({"id": hostile})),
            (hostile, json!({})),
        ]);
        let html = render(RunId::generate(), &all).unwrap();
        for bad in ["<script", "<img", "href=\"javascript", "\"'>"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        assert_eq!(html.matches("<li").count(), all.len());
        assert_eq!(html.matches("class=\"line \"").count(), 5, "{html}");
    }
}
