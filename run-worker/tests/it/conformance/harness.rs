//! Runs cases: one worker, one database and one odd server for all cases of a subject.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Integer, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::config::Config;
use serde_json::{Value, json};
use shared::db::statement;
use shared::ids::{RunId, UserId};
use shared::queue::{Broker, Publisher, WorkQueue};
use shared::testing::{TestDatabase, TestQueues, started};

use super::case::{Case, Ended, Expected, KEY, Seen};
use super::server::OddServer;
use crate::{pending_runs, worker_config};

/// All runs of a subject end within this time, also on a busy machine.
const TIME: Duration = Duration::from_secs(90);
/// Between two looks at the runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of what a failed case shows of each request.
const SHOWN: usize = 3000;
/// Runs at once. The plan team allows more.
const CONCURRENCY: &str = "32";

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Jsonb)]
    error: Value,
    #[diesel(sql_type = Jsonb)]
    result: Value,
    #[diesel(sql_type = BigInt)]
    input_tokens: i64,
    #[diesel(sql_type = BigInt)]
    output_tokens: i64,
    #[diesel(sql_type = Jsonb)]
    events: Value,
}

const ROWS: &str = "
SELECT chat_model_id AS name, status, coalesce(error_code, '') AS code, coalesce(error, '{}') AS error,
    coalesce(result, '{}') AS result, input_tokens, output_tokens,
    (SELECT jsonb_agg(jsonb_build_object('type', type, 'data', data) ORDER BY seq)
     FROM run_events WHERE run_id = id) AS events
FROM runs ORDER BY created_at, id";

/// Runs all cases at once and reports all that fail.
pub(super) async fn run(cases: Vec<Case>) {
    let filter = std::env::var("CAPI_CONFORMANCE").unwrap_or_default();
    let cases: Vec<_> = cases.into_iter().filter(|case| case.name.contains(&filter)).collect();
    if cases.is_empty() {
        return;
    }
    let serving = cases.iter().map(|case| (case.name.clone(), std::sync::Arc::clone(&case.serve)));
    let server = OddServer::start(serving).await;
    let rows = all_runs(&cases, &server).await;
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| {
            let runs = rows.iter().filter(|row| row.name == case.name).map(ended).collect();
            let seen = Seen { requests: server.take(&case.name), runs };
            let verified = catch_unwind(AssertUnwindSafe(|| verify(case, &seen)));
            if verified.is_err() {
                eprintln!("{}\n", described(case, &seen));
            }
            verified.is_err()
        })
        .map(|case| case.name.as_str())
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), cases.len(), failed.join(", "));
}

/// Executes the runs of all cases.
async fn all_runs(cases: &[Case], server: &OddServer) -> Vec<Row> {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let (user, _) = pending_runs(&database, 0).await;
    database.run_sql("UPDATE users SET plan = 'team'").await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, cases, server);
    let running = started(async || run_worker::start(&config, None).await).await;
    let publisher = Publisher::start(Broker::new(&config.broker, "conformance").unwrap(), &running.lifecycle);
    for (number, case) in (1..).zip(cases) {
        add_version(&database, number, case).await;
    }
    let deadline = Instant::now() + TIME;
    for wave in 0..cases.iter().map(|case| case.runs).max().unwrap_or(0) {
        for (number, _) in (1..).zip(cases).filter(|(_, case)| case.runs > wave) {
            add_run(&database, number).await;
            publisher.nudge(WorkQueue::Runs, user.uuid());
        }
        while unfinished(&database).await > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    running.lifecycle.stop().await;
    statement(ROWS).load(&mut database.conn().await).await.unwrap()
}

fn config(
    dir: &Path,
    database: &TestDatabase,
    queues: &TestQueues,
    cases: &[Case],
    server: &OddServer,
) -> Config {
    let key = dir.join("key");
    std::fs::write(&key, KEY).unwrap();
    let mut file = String::new();
    for Case { name, settings, base_url, .. } in cases {
        let here = format!("http://{}/{name}/v1", server.address);
        let base_url = base_url.as_deref().unwrap_or(&here);
        let key = key.display();
        let timeout = if settings.contains("timeout_seconds") { "" } else { "timeout_seconds = 30\n" };
        let _ = writeln!(
            file,
            "[[models]]\nid = \"{name}\"\nname = \"{name}\"\nmodel = \"the-model\"\nbase_url = \
             \"{base_url}\"\napi_key_file = \"{key}\"\n{timeout}{settings}"
        );
    }
    worker_config(dir, (database, queues), &file, &["--sandbox", "off", "--worker-concurrency", CONCURRENCY])
}

async fn add_version(database: &TestDatabase, number: i32, case: &Case) {
    let mut definition = case.app.clone();
    definition.insert("model".to_owned(), json!(case.name));
    // The account has a version 1 already.
    let sql =
        "INSERT INTO app_versions (id, app_id, version, definition) SELECT $1, id, $2 + 1, $3 FROM apps";
    statement(sql)
        .bind::<SqlUuid, _>(UserId::generate().uuid())
        .bind::<Integer, _>(number)
        .bind::<Jsonb, _>(Value::Object(definition))
        .execute(&mut database.conn().await)
        .await
        .unwrap();
}

async fn add_run(database: &TestDatabase, number: i32) {
    let sql = "
        WITH r AS (
            INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs,
                chat_model_id, metadata, created_at, last_seq)
            SELECT $1, a.user_id, a.id, v.id, 'api', 'pending', 't', '{}',
                v.definition->>'model', '{}', capi_now(), 1
            FROM app_versions v JOIN apps a ON a.id = v.app_id WHERE v.version = $2 + 1
            RETURNING id, created_at
        )
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT id, 1, 'run.created', created_at, 0, '{\"source\": \"api\"}' FROM r";
    statement(sql)
        .bind::<SqlUuid, _>(RunId::generate().uuid())
        .bind::<Integer, _>(number)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
}

async fn unfinished(database: &TestDatabase) -> i64 {
    let sql = "SELECT count(*) AS count FROM runs WHERE completed_at IS NULL";
    statement(sql).get_result::<Count>(&mut database.conn().await).await.unwrap().count
}

fn ended(row: &Row) -> Ended {
    Ended {
        status: row.status.clone(),
        code: row.code.clone(),
        error: row.error.clone(),
        result: row.result.clone(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        events: row.events.as_array().cloned().unwrap_or_default(),
    }
}

fn verify(case: &Case, seen: &Seen) {
    assert_eq!(seen.runs.len(), case.runs);
    for run in &seen.runs {
        verify_end(&case.expected, run);
    }
    if let Some((request, mistake)) =
        seen.requests.iter().find_map(|request| Some((request.number, request.mistake.as_ref()?)))
    {
        panic!("request {request} is not valid: {mistake}");
    }
    if let Some(asked) = case.asked {
        assert_eq!(seen.requests.len(), asked, "requests");
    }
    for check in &case.checks {
        check(seen);
    }
}

fn verify_end(expected: &Expected, run: &Ended) {
    let message = run.error["message"].as_str().unwrap_or_default();
    assert!(!message.contains(KEY), "the key is shown");
    match expected {
        Expected::Text(text) => {
            assert_eq!((run.status.as_str(), &run.result["text"]), ("completed", &json!(text)), "{message}");
        }
        Expected::Data(data) => {
            assert_eq!((run.status.as_str(), &run.result["data"]), ("completed", data), "{message}");
        }
        Expected::Failed { codes, retryable, words } => {
            assert!(run.status == "failed", "it is {}: {}", run.status, run.result);
            assert!(codes.split('|').any(|code| code == run.code), "{}: {message}", run.code);
            let is_retryable = run.error["retryable"].as_bool();
            assert!(retryable.is_none() || is_retryable == *retryable, "retryable is {is_retryable:?}");
            assert!(message.to_lowercase().contains(words), "{words:?} is not in {message:?}");
        }
        Expected::Either(codes) => {
            let known = run.status == "completed" || codes.split('|').any(|code| code == run.code);
            assert!(known, "{} {}: {message}", run.status, run.code);
        }
    }
}

/// The case, its requests and its runs, for the person who reads why it failed.
fn described(case: &Case, seen: &Seen) -> String {
    let cut = |text: String| text[..text.floor_char_boundary(SHOWN)].to_owned();
    let mut text = format!("case {}:", case.name);
    for request in &seen.requests {
        let _ = write!(text, "\nrequest {} {}", request.number, cut(request.body.to_string()));
    }
    for Ended { status, code, error, result, events, .. } in &seen.runs {
        let events = cut(json!(events).to_string());
        let _ = write!(text, "\n{status} {code} {error} {}\n{events}", cut(result.to_string()));
    }
    text
}
