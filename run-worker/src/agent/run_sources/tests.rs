use serde_json::{Value, json};
use shared::ids::ArtifactId;
use shared::runs::events::{
    EventData, LoggedAnswer, LoggedMessage, PublishedArtifact, RequestedCall, StepUsage, ToolResult,
};
use uuid::Uuid;

use super::super::events::{tool_call, tool_result, user};
use super::*;

fn page(id: u32, title: &str, how: SourceUse) -> FoundSource {
    let url = format!("https://e.org/{id}");
    FoundSource { id, url, title: title.to_owned(), how, snippet: String::new(), date: None }
}

/// A step with one call that publishes a file if `publishes` is set.
fn step(name: &str, arguments: &Value, pages: &[FoundSource], publishes: bool) -> Vec<EventData> {
    let call = RequestedCall {
        id: Uuid::now_v7(),
        provider_id: "a".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_string(),
        extra: None,
    };
    let artifact = EventData::Artifact(PublishedArtifact {
        id: ArtifactId::from(call.id),
        media_type: "text/plain".to_owned(),
        title: "t".to_owned(),
        size: 1,
        sha256: "00".to_owned(),
    });
    let result = ToolResult { sources: pages.to_vec(), ..tool_result(&call, "Done.".to_owned(), false) };
    let answer = LoggedAnswer {
        content: String::new(),
        finish_reason: "tool_calls".to_owned(),
        usage: StepUsage::default(),
        tool_calls: vec![call.clone()],
        reasoning: None,
    };
    let mut events = vec![EventData::Message(LoggedMessage::Assistant(answer)), tool_call(&call, 1)];
    events.extend(publishes.then_some(artifact));
    events.push(EventData::ToolResult(result));
    events
}

/// Two searches and a read page.
fn researched() -> Vec<EventData> {
    let searched = |id: u32| page(id, &format!("Page {id}"), SourceUse::Searched);
    let found = [searched(1), searched(2), searched(3)];
    let steps = [
        step("web_search", &json!({"query": "museum"}), &found, false),
        step("fetch_url", &json!({"url": "https://e.org/2"}), &[page(2, "Two", SourceUse::Read)], false),
        step("web_search", &json!({"query": "hours"}), &[searched(4), searched(2)], false),
    ];
    [user("go".to_owned(), vec![])].into_iter().chain(steps.concat()).collect()
}

/// The number and the use of each source.
fn uses(events: &[EventData], result: RunResult) -> Vec<(u32, SourceUse)> {
    let result = with_sources(result, &Transcript::rebuild(events));
    result.sources.iter().map(|source| (source.id, source.how)).collect()
}

fn of_text(text: &str) -> RunResult {
    RunResult { text: text.to_owned(), ..RunResult::default() }
}

#[test]
fn each_url_is_listed_once_with_its_strongest_use() {
    let transcript = Transcript::rebuild(&researched());
    let sources = with_sources(of_text("It opens at nine [3]."), &transcript).sources;
    let source =
        |id: u32, how| RunSource { id, url: format!("https://e.org/{id}"), title: format!("Page {id}"), how };
    let expected = [
        source(1, SourceUse::Searched),
        source(2, SourceUse::Read),
        source(3, SourceUse::Cited),
        source(4, SourceUse::Searched),
    ];
    assert_eq!(sources, expected);
    assert_eq!(with_sources(of_text("[1]"), &Transcript::default()).sources, [], "a run without pages");
}

#[test]
fn data_cites_in_its_texts() {
    let data = json!({"hours": [1, 4], "source": "https://e.org/2"});
    let result = RunResult { text: data.to_string(), data: Some(data), ..RunResult::default() };
    let cited: Vec<_> =
        uses(&researched(), result).into_iter().filter(|(_, how)| *how == SourceUse::Cited).collect();
    assert_eq!(cited, [(2, SourceUse::Cited)]);
}

#[test]
fn published_files_cite() {
    let report = "The museum [1] opens at nine; see https://e.org/4.";
    let saved = step("save_artifact", &json!({"title": "a.md", "content": report}), &[], true);
    let written = [
        step("write_file", &json!({"path": "a.md", "content": report}), &[], false),
        step("save_artifact", &json!({"path": "./a.md"}), &[], true),
    ]
    .concat();
    let run = [
        step("python", &json!({"script": format!("write('a.pdf', '{report}')")}), &[], false),
        step("save_artifact", &json!({"path": "out/a.pdf"}), &[], true),
    ]
    .concat();
    let draft = step("write_file", &json!({"path": "draft.md", "content": report}), &[], false);
    let failed = step("save_artifact", &json!({"content": report}), &[], false);
    for (what, events, expected) in [
        ("a text", saved, &[1, 4][..]),
        ("a written file", written, &[1, 4]),
        ("a file of a script: only URLs", run, &[4]),
        ("a draft", draft, &[]),
        ("a refused artifact", failed, &[]),
    ] {
        let uses = uses(&[researched(), events].concat(), of_text("Done."));
        let cited: Vec<_> =
            uses.iter().filter(|(_, how)| *how == SourceUse::Cited).map(|(id, _)| *id).collect();
        assert_eq!(cited, expected, "{what}");
    }
}

#[test]
fn of_many_sources_those_are_listed_that_the_run_used_most() {
    let found: Vec<_> = (1..=900).map(|id| page(id, "é".repeat(400).as_str(), SourceUse::Searched)).collect();
    let read = [page(850, "", SourceUse::Read)];
    let steps = [step("web_search", &json!({}), &found, false), step("fetch_url", &json!({}), &read, false)];
    let events: Vec<_> = [user("go".to_owned(), vec![])].into_iter().chain(steps.concat()).collect();
    let sources = with_sources(of_text("See [900]."), &Transcript::rebuild(&events)).sources;
    assert_eq!(sources.len(), RunSource::MAX_LISTED);
    assert!(sources.is_sorted_by_key(|source| source.id));
    let last: Vec<_> = sources.iter().rev().take(2).map(|source| (source.id, source.how)).collect();
    assert_eq!(last, [(900, SourceUse::Cited), (850, SourceUse::Read)]);
    assert!(sources.iter().all(|source| source.title.len() == RunSource::MAX_TITLE_BYTES));
}
