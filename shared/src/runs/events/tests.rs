use std::collections::HashSet;

use super::*;

/// Events of real runs, recorded by the version before `EventData`.
const RECORDED: &str = include_str!("recorded.jsonl");

fn recorded() -> impl Iterator<Item = Value> {
    RECORDED.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn recorded_events_are_read_and_written_unchanged() {
    let mut seen = HashSet::new();
    for event in recorded() {
        let event_type = event["type"].as_str().unwrap();
        let read = EventData::read(event_type, event["data"].clone());
        let read = read.unwrap_or_else(|error| panic!("{error}: {event}")).unwrap();
        assert_eq!(read.event_type().as_str(), event_type);
        assert_eq!(read.data(), event["data"]);
        seen.insert(event_type.to_owned());
    }
    for event_type in EventType::ALL {
        assert!(seen.contains(event_type.as_str()), "no {} was recorded", event_type.as_str());
    }
}

/// The test above says nothing about an optional field that no recorded event has.
#[test]
fn each_optional_field_was_recorded_and_left_out() {
    let has = |event_type: &str, pointer: &str| {
        let events: Vec<_> = recorded().filter(|event| event["type"] == event_type).collect();
        let with = events.iter().filter(|event| event["data"].pointer(pointer).is_some()).count();
        (with > 0, with < events.len())
    };
    for (event_type, pointer) in [
        ("run.taken_over", "/alone"),
        ("message", "/pictures"),
        ("message", "/toolCalls"),
        ("message", "/reasoning"),
        ("message", "/usage/estimated"),
        ("tool.call", "/truncated"),
        ("tool.result", "/workspace"),
        ("tool.result", "/workspace/format"),
        ("tool.result", "/contactedHosts"),
        ("tool.result", "/sources"),
        ("tool.result", "/picture"),
        ("tool.result", "/overQuota"),
    ] {
        assert_eq!(has(event_type, pointer), (true, true), "{event_type} {pointer}");
    }
    let steps: Vec<_> =
        recorded().filter_map(|event| event["data"].pointer("/error/step").cloned()).collect();
    assert!(steps.contains(&Value::Null) && steps.iter().any(Value::is_i64), "{steps:?}");
    let kinds: Vec<_> = recorded().filter_map(|event| event["data"].get("kind").cloned()).collect();
    assert!(["files", "wrap_up", "repair"].iter().all(|kind| kinds.contains(&json!(kind))), "{kinds:?}");
}

/// What a page lacks is left out.
#[test]
fn a_found_page_is_written_as_it_was_recorded() {
    let pages: Vec<Value> = recorded().filter_map(|event| event["data"].get("sources").cloned()).collect();
    let pages: Vec<&Value> = pages.iter().filter_map(Value::as_array).flatten().collect();
    for member in ["title", "snippet", "date"] {
        let with = pages.iter().filter(|page| page.get(member).is_some()).count();
        assert!(with > 0 && with < pages.len(), "{member}");
    }
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    assert_eq!(EventData::read("run.paused", json!({"by": "x"})).unwrap(), None);
    let started = EventData::read("run.started", json!({"worker": "w", "host": "h"})).unwrap();
    assert_eq!(started, Some(EventData::RunStarted(RunStarted { worker: "w".to_owned() })));
    let note = json!({"kind": "reminder", "text": "x"});
    assert_eq!(EventData::read("note", note.clone()).unwrap().unwrap().data(), note);
    assert!(EventData::read("run.started", json!({})).is_err());
}

#[test]
fn types_are_part_of_the_contract() {
    let listed: Vec<_> = EventType::ALL.iter().map(|event_type| event_type.as_str()).collect();
    let expected = [
        "run.created",
        "run.started",
        "run.taken_over",
        "message",
        "tool.call",
        "tool.result",
        "artifact",
        "note",
        "run.completed",
        "run.failed",
        "run.cancelled",
    ];
    assert_eq!(listed, expected);
}
