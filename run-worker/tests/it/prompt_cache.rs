//! Each request begins with the bytes of the one before, so the prompt cache of a model server holds most of
//! it: with each protocol, and also after a takeover.

use std::iter::repeat_n;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::config::Config;
use serde_json::{Value, json};
use shared::config::Switch;
use shared::db::statement;
use shared::testing::{MeasuredRequest, ScriptedModel, TestDatabase, TestQueues, eventually, started};
use tokio::runtime::Runtime;

use crate::pending_runs;
use crate::resume::config;

const PROMPT: &str = "Read the notes.";
const STEPS: usize = 20;
/// After so many answers the first worker is lost, if it is.
const LOST_AFTER: usize = 10;
/// In this step the model takes longer than a second, so that a clock in the requests would show.
const SLOW_STEP: usize = 5;
/// The least part of the input, after the first step, that the server's cache must hold.
const LEAST_PERCENT: i64 = 80;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = Text)]
    end: String,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = BigInt)]
    input_tokens: i64,
    #[diesel(sql_type = BigInt)]
    cached_input_tokens: i64,
    /// The usage of each answer, in order.
    #[diesel(sql_type = Jsonb)]
    usage: Value,
}

const ENDED: &str = "
SELECT chat_model_id AS model, concat_ws(' ', status, error->>'message') AS end, attempt, input_tokens,
    coalesce(cached_input_tokens, -1) AS cached_input_tokens,
    (SELECT jsonb_agg(data -> 'usage' ORDER BY seq) FROM run_events
     WHERE run_id = id AND type = 'message' AND data ->> 'role' = 'assistant') AS usage
FROM runs WHERE completed_at IS NOT NULL";

/// A worker on a runtime of its own. Dropping it ends all its tasks at once, as a kill does.
struct Doomed(Option<Runtime>);

impl Doomed {
    async fn start(config: Config) -> Self {
        let starting = tokio::task::spawn_blocking(move || {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(started(async || run_worker::start(&config, None).await));
            Self(Some(runtime))
        });
        starting.await.unwrap()
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The model writes a file and reads it again and again.
fn script(is_held: bool) -> Value {
    let notes = json!({"path": "notes.txt", "content": "A line of the notes.\n".repeat(30)}).to_string();
    let read = json!(["read_file", json!({"path": "notes.txt"}).to_string()]);
    let step = |number: usize| {
        let mut step = match number {
            0 => json!({"say": "I write them down.", "call": [["write_file", notes]]}),
            _ if number + 1 == STEPS => json!({"say": "Done."}),
            _ if number.is_multiple_of(3) => json!({"call": [["current_time", "{}"], read]}),
            _ => json!({"say": format!("I read them, time {number}."), "call": [read]}),
        };
        step["usage"] = json!("measured");
        step["hold"] = json!(is_held && number == LOST_AFTER);
        if number == SLOW_STEP {
            step["wait"] = json!(1100);
        }
        step
    };
    (0..STEPS).map(step).collect()
}

/// One pending run for each protocol.
async fn make_runs(database: &TestDatabase) {
    let (_, ids) = pending_runs(database, ScriptedModel::THINKING.len()).await;
    let definition = json!({
        "name": "a", "prompt": PROMPT, "instructions": "Be thorough.",
        "limits": {"steps": STEPS, "tokens": 1_000_000},
        "tools": ["current_time", "list_files", "read_file", "write_file"],
    });
    let mut conn = database.conn().await;
    let define = statement("UPDATE app_versions SET definition = $1").bind::<Jsonb, _>(&definition);
    define.execute(&mut conn).await.unwrap();
    for (id, model) in ids.iter().zip(ScriptedModel::THINKING) {
        let choose = statement("UPDATE runs SET chat_model_id = $2 WHERE id = $1");
        choose.bind::<SqlUuid, _>(id.uuid()).bind::<Text, _>(model).execute(&mut conn).await.unwrap();
    }
}

/// A worker dies while each of its runs waits for the model.
async fn lose_a_worker(config: &Config, database: &TestDatabase, model: &ScriptedModel) {
    let doomed = Doomed::start(config.clone()).await;
    let runs = ScriptedModel::THINKING.len();
    eventually("each run waits for the model", async || (model.holding() == runs).then_some(())).await;
    drop(doomed);
    eventually("the model's streams are closed", async || (model.holding() == 0).then_some(())).await;
    model.release();
    database.run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s'").await;
}

/// Executes the runs and checks each.
async fn runs_with(is_lost: bool) {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    model.script(PROMPT, &script(is_lost));
    make_runs(&database).await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), &database, &queues, &model);
    config.sandbox.sandbox = Switch::Off;
    if is_lost {
        lose_a_worker(&config, &database, &model).await;
    }
    let running = started(async || run_worker::start(&config, None).await).await;
    let rows = eventually("the runs are over", async || {
        let rows: Vec<Row> = statement(ENDED).load(&mut database.conn().await).await.unwrap();
        (rows.len() == ScriptedModel::THINKING.len()).then_some(rows)
    })
    .await;
    running.lifecycle.stop().await;
    assert_eq!(model.faults(), Vec::<String>::new(), "each history is the one that the model gave");
    check_last_requests(&model);
    for row in &rows {
        check_requests(row, &model.measured(&row.model), is_lost);
        check_usage(row, &model.measured(&row.model));
    }
}

/// On the last step calls are switched off, and the tools stay where they were.
fn check_last_requests(model: &ScriptedModel) {
    for id in ScriptedModel::THINKING {
        let asked = model.asked().into_iter().map(|(_, body)| body).filter(|body| body["model"] == id);
        let bodies: Vec<Value> = asked.collect();
        let (last, before) = bodies.split_last().unwrap();
        let off = &last["tool_choice"];
        assert!(*off == "none" || off["type"] == "none", "{id}: {off}");
        assert!(before.iter().all(|body| body.get("tool_choice").is_none()), "{id}");
        assert_eq!(last["tools"], before[0]["tools"], "{id}");
        assert!(!last["tools"].as_array().unwrap().is_empty(), "{id}");
    }
}

fn check_requests(row: &Row, requests: &[MeasuredRequest], is_lost: bool) {
    let model = &row.model;
    let attempt = if is_lost { 2 } else { 1 };
    assert_eq!((row.end.as_str(), row.attempt), ("completed", attempt), "{model}");
    let times = |answers: usize| if is_lost && answers == LOST_AFTER { 2 } else { 1 };
    let expected: Vec<_> = (0..STEPS).flat_map(|answers| repeat_n(answers, times(answers))).collect();
    let asked: Vec<_> = requests.iter().map(|request| request.answers).collect();
    assert_eq!(asked, expected, "{model}: only the lost answer is asked for again");
    for pair in requests.windows(2) {
        let [before, after] = [&pair[0], &pair[1]];
        assert!(
            after.text.starts_with(&before.text),
            "{model}: the request after {} answers begins in another way:\n{}\n{}",
            after.answers,
            before.text,
            after.text
        );
    }
}

fn check_usage(row: &Row, requests: &[MeasuredRequest]) {
    let model = &row.model;
    let usage = row.usage.as_array().unwrap();
    assert_eq!(usage.len(), STEPS, "{model}");
    let of = |usage: &Value| ["inputTokens", "cachedInputTokens"].map(|name| usage[name].as_i64().unwrap());
    let sum = |usage: &[Value]| {
        usage.iter().map(of).fold([0, 0], |[all, cached], [input, held]| [all + input, cached + held])
    };
    let [input, cached] = sum(&usage[1..]);
    assert!(cached * 100 >= input * LEAST_PERCENT, "{model}: {cached} of {input} tokens are cached");
    assert_eq!([row.input_tokens, row.cached_input_tokens], sum(usage), "{model}: the row has the sums");
    let last = requests.last().unwrap();
    assert_eq!(of(usage.last().unwrap()), [last.input_tokens, last.cached_tokens], "{model}");
}

#[tokio::test(flavor = "multi_thread")]
async fn most_of_the_input_is_in_the_servers_cache() {
    runs_with(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_finds_the_cache_and_buys_no_recorded_answer_again() {
    runs_with(true).await;
}
