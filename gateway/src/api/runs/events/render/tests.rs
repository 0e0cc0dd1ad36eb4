use chrono::DateTime;
use serde_json::{Value, json};
use shared::runs::events::EventType;

use super::*;

const RECORDED: &str = include_str!("../../../../../../shared/src/runs/events/recorded.jsonl");

fn shown(kind: &str, data: &Value) -> Value {
    let at = DateTime::UNIX_EPOCH;
    let event = Recorded { seq: 7, r#type: kind.to_owned(), at, attempt: 2, data: data.clone() };
    let json = render(&event).unwrap();
    assert!(json.get().len() <= MAX_EVENT_BYTES, "{} bytes: {kind}", json.get().len());
    assert!(!json.get().contains('\n'));
    serde_json::from_str(json.get()).unwrap()
}

#[test]
fn recorded_events_are_shown_without_what_is_internal() {
    for line in RECORDED.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let (kind, data) = (event["type"].as_str().unwrap(), &event["data"]);
        let shown = shown(kind, data);
        let envelope = json!({"seq": 7, "at": "1970-01-01T00:00:00.000Z", "attempt": 2, "type": kind});
        for (name, value) in envelope.as_object().unwrap() {
            assert_eq!(&shown[name], value);
        }
        let text = shown.to_string();
        for internal in ["\"worker\":", "\"providerId\":", "\"workspace\":", "\"signature\":", "\"alone\":"] {
            assert!(!text.contains(internal), "{internal}: {text}");
        }
        for (name, value) in shown["data"].as_object().unwrap() {
            let added = ["toolCalls", "reasoning"].contains(&name.as_str());
            assert!(added || &data[name] == value, "{name}: {text}");
        }
    }
}

#[test]
fn an_event_of_a_later_version_is_its_type() {
    let later = shown("run.paused", &json!({"by": "x"}));
    assert_eq!((&later["type"], &later["data"]), (&json!("run.paused"), &json!({})));
    assert_eq!(shown("run.started", &json!([]))["data"], json!({}), "one that cannot be read");
}

#[test]
fn long_events_are_cut_and_say_so() {
    let long = ["x".repeat(1 << 20), "\u{1}".repeat(1 << 20), "é\"\n".repeat(1 << 18)];
    let id = uuid::Uuid::now_v7();
    for text in &long {
        let part = &text[..text.floor_char_boundary(1 << 10)];
        let calls: Vec<_> = (0..200)
            .map(|_| json!({"id": id, "providerId": part, "name": part, "arguments": part}))
            .collect();
        let usage = json!({"inputTokens": 1, "outputTokens": 1});
        for (kind, data) in [
            ("message", json!({"role": "system", "content": text})),
            ("message", json!({"role": "user", "content": text})),
            (
                "message",
                json!({"role": "assistant", "content": text, "finishReason": "stop", "usage": usage,
                    "toolCalls": calls, "reasoning": {"a": text}}),
            ),
            ("tool.call", json!({"callId": id, "name": text, "arguments": text, "step": 1})),
            ("tool.result", json!({"callId": id, "name": "n", "content": text, "isError": false})),
            ("note", json!({"kind": "files", "text": text})),
        ] {
            let shown = shown(kind, &data);
            assert_eq!(shown["data"]["truncated"], true, "{kind}");
        }
    }
    let fits = "x".repeat(60 << 10);
    let whole = shown("message", &json!({"role": "user", "content": fits}));
    assert_eq!((&whole["data"]["content"], &whole["data"]["truncated"]), (&json!(fits), &Value::Null));
    let cut = shown("message", &json!({"role": "user", "content": "x".repeat(65 << 10)}));
    assert_eq!(cut["data"]["content"].as_str().unwrap().len(), 60 << 10, "no more than necessary is cut");
}

#[test]
fn of_too_many_sources_the_last_are_left_out() {
    let id = uuid::Uuid::now_v7();
    let result = |number: usize, content: &str| {
        let url = format!("https://e.org/{}", "x".repeat(1000));
        let page = |id: usize| json!({"id": id, "url": url, "how": "searched", "snippet": "\"é".repeat(100)});
        let sources: Vec<_> = (1..=number).map(page).collect();
        let data = json!({"callId": id, "name": "web_search", "content": content, "isError": false,
            "sources": sources});
        shown("tool.result", &data)["data"].clone()
    };
    let few = result(20, "found");
    assert_eq!((few["sources"].as_array().unwrap().len(), &few["truncated"]), (20, &Value::Null));
    for (number, content) in [(500, "found".to_owned()), (100, "x".repeat(60 << 10))] {
        let many = result(number, &content);
        let kept = many["sources"].as_array().unwrap();
        assert!((5..number).contains(&kept.len()), "{}", kept.len());
        assert_eq!((&kept[4]["id"], &many["truncated"]), (&json!(5), &json!(true)));
    }
}

#[test]
fn every_type_is_shown() {
    let schema = <ShownData as utoipa::PartialSchema>::schema();
    let schema = serde_json::to_value(schema).unwrap();
    let types = schema["oneOf"].as_array().unwrap().iter();
    let types: Vec<_> = types.map(|one| one["properties"]["type"]["enum"][0].as_str().unwrap()).collect();
    let known: Vec<_> = EventType::ALL.iter().map(|known| known.as_str()).collect();
    assert_eq!(types, known);
}

#[test]
fn the_table_in_the_docs_names_every_type_and_field() {
    let docs = include_str!("../../../../../../docs/API.md");
    let section = docs.split_once("\n## Events\n").unwrap().1.split("\n## ").next().unwrap();
    let rows: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1).collect();
    let mut documented: Vec<(&str, String)> = Vec::new();
    for row in rows.iter().filter(|row| !row.starts_with("--")) {
        match (row.split('|').next().unwrap().trim(), documented.last_mut()) {
            ("", Some((_, fields))) => fields.push_str(row),
            (name, _) => documented.push((name, (*row).to_owned())),
        }
    }
    let types: Vec<_> = documented.iter().map(|(name, _)| *name).collect();
    assert_eq!(types, EventType::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>());
    let document: Value = serde_json::from_str(crate::api::openapi::document()).unwrap();
    let schema = &document["components"]["schemas"]["Event"]["oneOf"];
    assert_eq!(schema.as_array().unwrap().len(), documented.len());
    for (one, (name, row)) in schema.as_array().unwrap().iter().zip(&documented) {
        let variant = document.pointer(one["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        let mut fields = Vec::new();
        collect_fields(&document, &variant["properties"]["data"], &mut fields);
        assert!(fields.iter().all(|field| row.contains(&format!("`{field}`"))), "{name}: {fields:?}");
    }
    let truncated = documented.iter().filter(|(_, row)| row.contains("`truncated`")).count();
    assert_eq!(truncated, 4);
}

/// The names of a schema's members, also through references and alternatives.
fn collect_fields(document: &Value, schema: &Value, into: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return collect_fields(document, document.pointer(reference.trim_start_matches('#')).unwrap(), into);
    }
    for parts in ["oneOf", "allOf"] {
        schema[parts].as_array().into_iter().flatten().for_each(|part| collect_fields(document, part, into));
    }
    into.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
}
