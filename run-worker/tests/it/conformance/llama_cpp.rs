//! A real server: llama.cpp with the local model, started as `make up` starts it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use diesel_async::RunQueryDsl;
use run_worker::config::Config;
use run_worker::leases::append::append;
use serde_json::{Value, json};
use shared::db::{Connection, statement};
use shared::ids::{RunId, UserId};
use shared::runs::events::{EventData, LoggedMessage};
use shared::testing::{TestDatabase, TestQueues, WAIT_LIMIT, eventually, eventually_within, started};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::{LEASE, answer, claim_one, claimant, pending_runs, user_message, worker_config};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/local/model.py");
/// What deploy/local/model.py gives each slot.
const SLOT_TOKENS: u64 = 8192;
/// More tokens than a slot has: the model's tokenizer makes one of each word.
const TOO_MANY_WORDS: usize = 9000;
/// The model computes on one processor that it shares with the other tests.
const RUN_LIMIT: Duration = Duration::from_mins(5);

/// The server, which ends with this value.
struct LlamaCpp {
    address: String,
    _child: Child,
    /// Open, so that the server can write.
    _output: Lines<BufReader<ChildStdout>>,
}

impl LlamaCpp {
    /// Starts it on a free port and waits until it has loaded the model. `make test` and
    /// deploy/local/with-test-services.sh set the variables.
    async fn start() -> Self {
        let [python, weights] =
            ["CAPI_TEST_MODEL_PYTHON", "CAPI_TEST_MODEL_WEIGHTS"].map(|name| std::env::var(name).unwrap());
        let mut child = Command::new(python)
            .args([SCRIPT, "serve", &weights, "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(WAIT_LIMIT, output.next_line()).await.unwrap().unwrap().unwrap();
        let address = line.strip_prefix("serving on http://").unwrap().to_owned();
        let server = Self { address, _child: child, _output: output };
        eventually("the model is loaded", async || {
            (server.send("GET", "/health", "").await.0 == 200).then_some(())
        })
        .await;
        server
    }

    /// Sends one request. Returns the status and the body.
    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all((head + body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(RUN_LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends a conversation with one finished call of `current_time`.
    async fn replay(&self, arguments: &str) -> (u16, String) {
        let called = json!({"name": "current_time", "arguments": arguments});
        let calls = json!([{"id": "a", "type": "function", "function": called}]);
        let body = json!({"model": "smollm2", "max_tokens": 1, "messages": [
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": null, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "12:00"},
        ]});
        self.send("POST", "/v1/chat/completions", &body.to_string()).await
    }

    /// The window is not set, so the worker must learn it from the server's refusal.
    fn models_file(&self) -> String {
        format!(
            "[[models]]\nid = \"local\"\nname = \"Local\"\nprovider = \"openai\"\nbase_url = \
             \"http://{}/v1\"\nmodel = \"smollm2\"\nmax_output_tokens = 64\nmax_repeated_bytes = 1024\n\
             timeout_seconds = 120\n",
            self.address
        )
    }
}

fn config(dir: &Path, database: &TestDatabase, queues: &TestQueues, server: &LlamaCpp) -> Config {
    worker_config(dir, (database, queues), &server.models_file(), &["--sandbox", "off"])
}

/// Makes a pending run of an app with this definition.
async fn pending(database: &TestDatabase, definition: Value) -> (UserId, RunId) {
    let (user, ids) = pending_runs(database, 1).await;
    let sql = "UPDATE app_versions SET definition = $2
               WHERE id = (SELECT app_version_id FROM runs WHERE id = $1)";
    let changed = statement(sql)
        .bind::<diesel::sql_types::Uuid, _>(ids[0].uuid())
        .bind::<diesel::sql_types::Jsonb, _>(definition)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    assert_eq!(changed, 1);
    (user, ids[0])
}

/// Makes a run whose worker died after the model had requested this call.
async fn interrupted(database: &TestDatabase, name: &str, arguments: &str) -> RunId {
    let definition = json!({"name": "a", "prompt": "What time is it?", "tools": ["current_time"]});
    let (user, run) = pending(database, definition).await;
    let mut conn = database.conn().await;
    let claimed = claim_one(&mut conn, &claimant("lost", 5), user).await.unwrap();
    let mut said = answer("");
    if let EventData::Message(LoggedMessage::Assistant(said)) = &mut said {
        name.clone_into(&mut said.tool_calls[0].name);
        arguments.clone_into(&mut said.tool_calls[0].arguments);
    }
    let events = [user_message("What time is it?"), said];
    assert!(append(&mut conn, claimed.fence(), claimed.last_seq, &events, LEASE).await.unwrap());
    run
}

/// How a run ended.
#[derive(Debug, diesel::QueryableByName)]
struct End {
    #[diesel(sql_type = diesel::sql_types::Text)]
    status: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    code: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    message: String,
    #[diesel(sql_type = diesel::sql_types::Jsonb)]
    result: Value,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    input_tokens: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    steps: i64,
}

impl End {
    /// The model is too small to end each answer by itself; the server accepted the request.
    fn is_an_answer(&self) -> bool {
        self.status == "completed" || self.code == "token_limit_exceeded"
    }
}

async fn ended(conn: &mut Connection, run: RunId) -> End {
    let sql = "SELECT status, coalesce(error_code, '') AS code, coalesce(error->>'message', '') AS message,
                      coalesce(result, '{}') AS result, input_tokens::bigint AS input_tokens,
                      steps::bigint AS steps
               FROM runs WHERE id = $1 AND completed_at IS NOT NULL";
    eventually_within(RUN_LIMIT, "the run is over", async || {
        statement(sql).bind::<diesel::sql_types::Uuid, _>(run.uuid()).get_result::<End>(&mut *conn).await.ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn llama_cpp_serves_whole_runs() {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let server = LlamaCpp::start().await;

    let empty = interrupted(&database, "current_time", "").await;
    let broken = interrupted(&database, "current_time", r#"{"script": "echo "hi""}"#).await;
    let unsafe_name = interrupted(&database, "current_time<|channel|>commentary", "{}").await;
    database
        .run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE status = 'running'")
        .await;
    let (_, plain) = pending(&database, json!({"name": "a", "prompt": "Say hello."})).await;
    let schema = json!({"type": "object", "required": ["city", "large"], "additionalProperties": false,
        "properties": {"city": {"enum": ["Paris", "London"]}, "large": {"type": "boolean"}}});
    let definition = json!({"name": "a", "prompt": "Say hello.",
        "output": {"schema": schema}});
    let (_, structured) = pending(&database, definition).await;
    let prompt = "word ".repeat(TOO_MANY_WORDS);
    let (_, long) = pending(&database, json!({"name": "a", "prompt": prompt})).await;
    database.run_sql("UPDATE runs SET chat_model_id = 'local'").await;

    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &server);
    let running = started(async || run_worker::start(&config, None).await).await;
    let mut conn = database.conn().await;
    let plain = ended(&mut conn, plain).await;
    assert!(plain.is_an_answer() && plain.input_tokens > 10, "{plain:?}");
    let structured = ended(&mut conn, structured).await;
    assert_eq!(structured.status, "completed", "{structured:?}");
    assert!(structured.result["data"]["large"].is_boolean(), "{structured:?}");
    let long = ended(&mut conn, long).await;
    assert_eq!(long.code, "context_length_exceeded", "{long:?}");
    assert!(long.message.contains(&SLOT_TOKENS.to_string()), "{long:?}");
    for run in [empty, broken, unsafe_name] {
        let end = ended(&mut conn, run).await;
        assert!(end.is_an_answer() && end.steps > 1, "{end:?}");
    }
    running.lifecycle.stop().await;
}

/// What the worker must not send, and what its words and windows come from.
#[tokio::test(flavor = "multi_thread")]
async fn llama_cpp_refuses_what_the_worker_mends() {
    let server = LlamaCpp::start().await;
    for arguments in ["", r#"{"script": "echo "hi""}"#, "{}{}"] {
        let (status, body) = server.replay(arguments).await;
        assert_eq!(status, 500, "{arguments}: {body}");
        assert!(body.contains("Failed to parse tool call arguments"), "{arguments}: {body}");
    }
    let (status, body) = server.replay("{}").await;
    assert_eq!(status, 200, "{body}");

    let content = "word ".repeat(TOO_MANY_WORDS);
    let long = json!({"model": "smollm2", "messages": [{"role": "user", "content": content}]}).to_string();
    let (status, body) = server.send("POST", "/v1/chat/completions", &long).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["error"]["n_ctx"]), (400, &SLOT_TOKENS.into()), "{body}");
    assert!(
        body["error"]["message"].as_str().unwrap().contains("exceeds the available context size"),
        "{body}"
    );

    // deploy/local/model.sh writes this number into the models file.
    let (_, props) = server.send("GET", "/props", "").await;
    let props: Value = serde_json::from_str(&props).unwrap();
    assert_eq!(props["default_generation_settings"]["n_ctx"], SLOT_TOKENS, "{props}");
}
