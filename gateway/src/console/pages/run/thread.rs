//! Renders events as the items of the thread. Pure. A tool's result is part of its call's item, if both are
//! in these events. Otherwise the page's script moves it there (`data-into`).

use std::collections::HashMap;

use askama::Template;
use serde_json::Value;
use shared::ids::RunId;
use shared::runs::Source;
use shared::runs::events::{Event, EventData, LoggedAnswer, LoggedMessage, ToolCall, ToolResult};
use url::Url;
use uuid::Uuid;

use super::summary::File;
use crate::console::format::Timestamp;
use crate::console::markdown::to_html;
use crate::http::ApiError;

/// An argument of a call.
struct Argument {
    name: String,
    text: String,
}

/// What a tool returned.
struct ToolOutput<'e> {
    seq: i64,
    call: Uuid,
    text: &'e str,
    failed: bool,
}

enum Kind<'e> {
    Message {
        role: &'static str,
        /// Safe HTML.
        html: String,
        thoughts: Option<String>,
        tokens: String,
    },
    /// The messages that begin the conversation. They are long, and the same in each run of an app.
    Opening {
        title: &'static str,
        text: &'e str,
    },
    Call {
        id: Uuid,
        name: &'e str,
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
    let mut outputs = Outputs::new();
    for (event, data) in &read {
        if let Some(EventData::ToolResult(result)) = data {
            outputs.insert(result.call_id, output(event.seq, result));
        }
    }
    let mut html = String::new();
    for (event, data) in &read {
        let kind = match data {
            Some(data) => kind_of(event, data, &mut outputs),
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

fn kind_of<'e>(event: &Event, data: &'e EventData, outputs: &mut Outputs<'e>) -> Option<Kind<'e>> {
    match data {
        EventData::Message(message) => message_of(message),
        EventData::ToolCall(call) => Some(call_of(call, outputs.remove(&call.call_id))),
        // If the call is in these events, its item already has the result.
        EventData::ToolResult(result) => {
            let alone = outputs.get(&result.call_id).is_some_and(|output| output.seq == event.seq);
            alone.then(|| Kind::Output(output(event.seq, result)))
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

fn message_of(message: &LoggedMessage) -> Option<Kind<'_>> {
    match message {
        LoggedMessage::System { content } if content.is_empty() => None,
        LoggedMessage::System { content } => Some(Kind::Opening { title: "Instructions", text: content }),
        LoggedMessage::User { content } => Some(Kind::Opening { title: "Prompt", text: content }),
        LoggedMessage::Assistant(LoggedAnswer { content, usage, reasoning, .. }) => Some(Kind::Message {
            role: "Agent",
            html: to_html(content),
            thoughts: reasoning.as_ref().and_then(thoughts),
            tokens: format!("{} in, {} out", usage.input_tokens, usage.output_tokens),
        }),
    }
}

/// The texts of a model's reasoning. Model servers use different fields, so this collects all texts.
fn thoughts(reasoning: &Value) -> Option<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => {
                let readable = members.iter().filter(|(name, _)| {
                    !["signature", "type", "format", "id", "data"].contains(&name.as_str())
                });
                readable.for_each(|(_, member)| collect(member, into));
            }
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(reasoning, &mut texts);
    texts.dedup();
    let all = texts.join("\n");
    (!all.trim().is_empty()).then_some(all)
}

fn call_of<'e>(call: &'e ToolCall, output: Option<ToolOutput<'e>>) -> Kind<'e> {
    let raw = &call.arguments;
    let parsed: Value = serde_json::from_str(raw).unwrap_or_default();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let arguments: Vec<Argument> = match &parsed {
        Value::Object(members) => {
            members.iter().map(|(name, value)| Argument { name: name.clone(), text: shown(value) }).collect()
        }
        _ if raw.is_empty() => Vec::new(),
        _ => vec![Argument { name: "arguments".to_owned(), text: raw.clone() }],
    };
    let link = parsed.get("url").and_then(Value::as_str).filter(|url| is_web(url)).map(str::to_owned);
    let about = arguments
        .first()
        .map(|first| first.text.lines().next().unwrap_or_default().chars().take(100).collect());
    let about = if link.is_some() { String::new() } else { about.unwrap_or_default() };
    Kind::Call { id: call.call_id, name: &call.name, about, link, arguments, output }
}

fn is_web(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn output(seq: i64, result: &ToolResult) -> ToolOutput<'_> {
    ToolOutput { seq, call: result.call_id, text: &result.content, failed: result.is_error }
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
