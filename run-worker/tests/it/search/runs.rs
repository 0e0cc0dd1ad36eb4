//! Runs that search, with the whole worker.

use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::db::statement;
use shared::ids::RunId;
use shared::runs::events::{self, Event, EventData, SourceUse, ToolResult};
use shared::testing::{
    PageServer, ScriptedModel, SearchServer, TestDatabase, TestQueues, eventually, started,
};

use crate::{pending_runs, worker_config};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    end: String,
}

struct Done {
    end: String,
    results: Vec<ToolResult>,
}

/// A run of an app with these settings, whose model follows the script.
async fn run(definition: &Value, script: &Value, search: Option<&SearchServer>) -> Done {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    let (_, ids) = pending_runs(&database, 1).await;
    let mut definition = definition.clone();
    definition["name"] = "a".into();
    definition["prompt"] = format!("SCRIPT {script}").into();
    statement("UPDATE app_versions SET definition = $1")
        .bind::<Jsonb, _>(&definition)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    database.run_sql("UPDATE runs SET chat_model_id = 'scripted'").await;
    let dir = tempfile::tempdir().unwrap();
    let models =
        model.models_file().replace(&format!("api_key_env = \"{}\"", ScriptedModel::KEY_VARIABLE), "");
    let search = search.map(|server| server.write_search_file(dir.path())).unwrap_or_default();
    let mut more = vec!["--sandbox", "off", "--fetch-allowed-networks", "127.0.0.0/8"];
    // No other worker may have what this one lacks.
    more.extend(["--rollout-seconds", "0"]);
    if !search.is_empty() {
        more.extend(["--search", &search]);
    }
    let config = worker_config(dir.path(), (&database, &queues), &models, &more);
    let running = started(async || run_worker::start(&config, None).await).await;
    let end = end(&database, ids[0]).await;
    running.lifecycle.stop().await;
    let log = events::read(&mut database.conn().await, ids[0]).await.unwrap();
    let results = log.iter().filter_map(|event| match Event::read(event).unwrap() {
        Some(EventData::ToolResult(result)) => Some(result),
        _ => None,
    });
    Done { end, results: results.collect() }
}

async fn end(database: &TestDatabase, run: RunId) -> String {
    let sql = "SELECT concat_ws(' ', status, error_code, error->>'message') AS end
               FROM runs WHERE id = $1 AND completed_at IS NOT NULL";
    eventually("the run is over", async || {
        let query = statement(sql).bind::<SqlUuid, _>(run.uuid());
        query.get_result::<Row>(&mut database.conn().await).await.ok()
    })
    .await
    .end
}

fn search(query: &str) -> Value {
    json!(["web_search", json!({"query": query}).to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn results_have_numbers_that_stay_and_failures_are_told() {
    let server = SearchServer::start().await;
    let definition = json!({"tools": ["web_search"], "web_search": {"provider": "tavily"},
        "fetch": {"hosts": ["example.org"], "urls": "listed"}});
    let script = json!([
        {"call": [search("solar power")]},
        {"call": [search("private"), search("nothing"), search("broken")]},
        {"call": [search("solar again"), ["web_search", "{\"query\": \"\"}"]]},
        {"say": "See [1]."},
    ]);
    let Done { end, results } = run(&definition, &script, Some(&server)).await;
    assert_eq!(end, "completed");
    let text = |at: usize| results[at].content.as_str();
    assert!(
        text(0).contains("[1] Page 1 — https://example.org/solar — 2026-05-01\nWhat page 1"),
        "{}",
        text(0)
    );
    assert!(text(0).contains("\n\n[2] Page 2 — "), "{}", text(0));
    assert!(text(1).contains("left out: 2 results, because the addresses are not public"), "{}", text(1));
    assert!(text(2).starts_with("No results."), "{}", text(2));
    assert!(results[3].is_error && text(3).contains("does not work now"), "{}", text(3));
    assert!(text(4).contains("[1] Page 1 — "), "one URL has one number: {}", text(4));
    assert!(results[5].is_error && text(5).contains("1 to 400 bytes"), "{}", text(5));
    let numbers = |at: usize| results[at].sources.iter().map(|source| source.id).collect::<Vec<_>>();
    assert_eq!((numbers(0), numbers(4)), (vec![1, 2], vec![1, 2]));
    let first = &results[0].sources[0];
    assert_eq!((first.how, first.snippet.as_str()), (SourceUse::Searched, "What page 1 says about power."));
    assert_eq!(results[0].contacted_hosts, ["127.0.0.1"], "the provider, although the app lists other hosts");
    assert!(server.asked().iter().all(|asked| asked.provider == "tavily"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_fetch_what_its_searches_found_and_search_thirty_times() {
    let pages = PageServer::start().await;
    let server = SearchServer::listing(&[&pages.url("/slow")]).await;
    let definition = json!({"tools": ["fetch_url", "web_search"], "fetch": {"urls": "known"}});
    // The prompt does not contain the URLs in their own form.
    let composed = |path: &str| {
        let arguments = json!({"url": pages.url(path)}).to_string();
        json!(["fetch_url", arguments.replace("://", ":\\u002f\\u002f")])
    };
    let many: Vec<_> = (0..30).map(|number| search(&format!("solar {number}"))).collect();
    let script = json!([
        {"call": [composed("/slow")]},
        {"call": [search("solar")]},
        {"call": [composed("/slow"), composed("/long")]},
        {"call": many},
        {"say": "Done."},
    ]);
    let Done { end, results } = run(&definition, &script, Some(&server)).await;
    assert_eq!(end, "completed");
    assert!(results[0].is_error, "{}", results[0].content);
    assert!(results[2].content.contains("Slow page"), "{}", results[2].content);
    assert!(results[3].is_error, "no search found it: {}", results[3].content);
    let refused: Vec<_> = results[4..].iter().filter(|result| result.is_error).collect();
    assert_eq!((refused.len(), server.asked().len()), (1, 30));
    assert!(refused[0].content.contains("30 searches, the most"), "{}", refused[0].content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_the_provider_refuses_the_run() {
    let script = json!([{"call": [search("solar")]}, {"say": "Done."}]);
    let none = run(&json!({"tools": ["web_search"]}), &script, None).await;
    assert!(none.end.starts_with("failed tool_error ") && none.end.contains("CAPI_SEARCH"), "{}", none.end);
    let server = SearchServer::start().await;
    let definition = json!({"tools": ["web_search"], "web_search": {"provider": "local"}});
    let other = run(&definition, &script, Some(&server)).await;
    assert!(
        other.end.contains("\"local\" is not in CAPI_SEARCH; known are: searxng, brave"),
        "{}",
        other.end
    );
    assert!(server.asked().is_empty());
}
