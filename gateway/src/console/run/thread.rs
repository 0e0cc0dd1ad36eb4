//! Events as a person reads them: pure. A tool's result stands in its call, where both are at hand; else the script moves
//! it there (`data-into`).

use std::collections::HashMap;

use askama::Template;
use serde_json::Value;
use shared::events::Event;
use shared::ids::RunId;
use url::Url;

use super::super::markdown::to_html;
use super::super::when::When;
use super::summary::File;
use crate::error::ApiError;

/// An argument of a call, or a part of a result.
struct Shown {
    name: String,
    text: String,
}

/// What a tool returned.
struct ToolOutput<'e> {
    seq: i64,
    call: &'e str,
    text: &'e str,
    failed: bool,
    truncated: bool,
}

enum Kind<'e> {
    /// Of whom, and the text as HTML that is safe.
    Message {
        role: &'static str,
        html: String,
        thoughts: Option<String>,
        tokens: Option<String>,
    },
    /// What begins the conversation: long, and the same each time.
    Opening {
        title: &'static str,
        text: &'e str,
    },
    Call {
        id: &'e str,
        name: &'e str,
        about: String,
        link: Option<String>,
        arguments: Vec<Shown>,
        output: Option<ToolOutput<'e>>,
    },
    Output(ToolOutput<'e>),
    Artifact(File),
    Note(&'e str),
    /// A line.
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
    at: When,
    attempt: i32,
    kind: Kind<'e>,
}

/// The events as items of the list.
pub(super) fn render(run: RunId, events: &[Event]) -> Result<String, ApiError> {
    let mut outputs: HashMap<&str, &Event> = HashMap::new();
    for event in events.iter().filter(|event| event.r#type == "tool.result") {
        if let Some(call) = event.data["callId"].as_str() {
            outputs.insert(call, event);
        }
    }
    let mut html = String::new();
    for event in events {
        let Some(kind) = kind_of(event, &mut outputs) else { continue };
        let item = Item { run, seq: event.seq, at: When(event.at), attempt: event.attempt, kind };
        item.render_into(&mut html).map_err(|error| ApiError::fault(&error))?;
    }
    Ok(html)
}

fn kind_of<'e>(event: &'e Event, outputs: &mut HashMap<&'e str, &'e Event>) -> Option<Kind<'e>> {
    let data = &event.data;
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let state = |text: String, kind| Some(Kind::State { text, kind });
    match event.r#type.as_str() {
        "message" => message(data),
        "tool.call" => {
            let id = text("callId");
            Some(call(data, id, outputs.remove(id).map(output)))
        }
        // Shown with its call, if that has come before it in these events.
        "tool.result" => match outputs.get(text("callId")) {
            Some(open) if open.seq == event.seq => Some(Kind::Output(output(event))),
            _ => None,
        },
        "artifact" => Some(Kind::Artifact(File::of(data))),
        "note" => Some(Kind::Note(text("text"))),
        "run.created" => state(
            format!("Created from the {}", if text("source") == "console" { "console" } else { "API" }),
            "",
        ),
        "run.started" => state(format!("Started by {}", text("worker")), ""),
        "run.taken_over" => {
            state(format!("Attempt {}: taken over by {}", event.attempt, text("worker")), "warn")
        }
        "run.completed" => state("Completed".to_owned(), "good"),
        "run.failed" => {
            state(format!("Failed: {}", data["error"]["code"].as_str().unwrap_or_default()), "bad")
        }
        "run.cancelled" => state("Cancelled".to_owned(), "warn"),
        other => state(other.to_owned(), ""),
    }
}

fn message(data: &Value) -> Option<Kind<'_>> {
    let content = data["content"].as_str().unwrap_or_default();
    match data["role"].as_str() {
        Some("system") if content.is_empty() => None,
        Some("system") => Some(Kind::Opening { title: "Instructions", text: content }),
        Some("user") => Some(Kind::Opening { title: "Prompt", text: content }),
        _ => {
            let tokens = data["usage"]["outputTokens"].as_i64().map(|tokens| {
                format!("{} in, {tokens} out", data["usage"]["inputTokens"].as_i64().unwrap_or_default())
            });
            let thoughts = thoughts(&data["reasoning"]);
            Some(Kind::Message { role: "Agent", html: to_html(content), thoughts, tokens })
        }
    }
}

/// What a model thought, wherever its server put it.
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

fn call<'e>(data: &'e Value, id: &'e str, output: Option<ToolOutput<'e>>) -> Kind<'e> {
    let raw = data["arguments"].as_str().unwrap_or_default();
    let parsed: Value = serde_json::from_str(raw).unwrap_or_default();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let arguments: Vec<Shown> = match &parsed {
        Value::Object(members) => {
            members.iter().map(|(name, value)| Shown { name: name.clone(), text: shown(value) }).collect()
        }
        _ if raw.is_empty() => Vec::new(),
        _ => vec![Shown { name: "arguments".to_owned(), text: raw.to_owned() }],
    };
    let link = parsed["url"].as_str().filter(|url| is_web(url)).map(str::to_owned);
    let about = arguments
        .first()
        .map(|first| first.text.lines().next().unwrap_or_default().chars().take(100).collect());
    let about = if link.is_some() { String::new() } else { about.unwrap_or_default() };
    Kind::Call { id, name: data["name"].as_str().unwrap_or_default(), about, link, arguments, output }
}

fn is_web(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn output(event: &Event) -> ToolOutput<'_> {
    ToolOutput {
        seq: event.seq,
        call: event.data["callId"].as_str().unwrap_or_default(),
        text: event.data["content"].as_str().unwrap_or_default(),
        failed: event.data["isError"] == true,
        truncated: event.data["truncated"] == true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use serde_json::json;

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

    #[test]
    fn a_result_stands_in_its_call_and_alone_where_that_came_earlier() {
        let run = RunId::generate();
        let call = (
            "tool.call",
            json!({"callId": "c", "name": "fetch_url", "arguments": "{\"url\":\"https://e.example/a\"}"}),
        );
        let result = ("tool.result", json!({"callId": "c", "content": "a <b>page</b>", "isError": false}));
        let both = render(run, &events(&[call.clone(), result.clone()])).unwrap();
        assert_eq!(both.matches("<li").count(), 1, "{both}");
        assert!(
            both.contains("href=\"https://e.example/a\"") && both.contains("a &#60;b&#62;page"),
            "{both}"
        );
        let alone = render(run, &events(&[result])).unwrap();
        assert!(alone.contains("data-into=\"call-c\""), "{alone}");
        assert_eq!(render(run, &events(&[call])).unwrap().matches("<li").count(), 1);
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
        let all = events(&[
            ("message", json!({"role": "system", "content": hostile})),
            ("message", json!({"role": "assistant", "content": hostile, "reasoning": {"thinking": hostile}})),
            (
                "tool.call",
                json!({"callId": hostile, "name": hostile, "arguments": json!({"url": "javascript:alert(1)", hostile: hostile}).to_string()}),
            ),
            ("tool.call", json!({"callId": "d", "name": "x", "arguments": hostile})),
            ("tool.result", json!({"callId": "e", "content": hostile})),
            ("artifact", json!({"id": hostile, "title": hostile, "type": hostile, "size": 1})),
            ("note", json!({"text": hostile})),
            ("run.started", json!({"worker": hostile})),
            ("run.failed", json!({"error": {"code": hostile}})),
            (hostile, json!({})),
        ]);
        let html = render(RunId::generate(), &all).unwrap();
        for bad in ["<script", "<img", "href=\"javascript", "\"'>"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        assert_eq!(html.matches("<li").count(), 10);
    }
}
