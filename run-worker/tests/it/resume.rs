//! The transcript is a pure function of the log: cut after every event, it is rebuilt into exactly the
//! request that was sent.

use std::collections::VecDeque;
use std::path::Path;

use model_client::{ModelClient, Request, ToolChoice};
use run_worker::agent::{Next, Transcript};
use run_worker::config::Config;
use run_worker::leases::append::append;
use serde_json::{Value, json};
use shared::config::ModelsFile;
use shared::db::statement;
use shared::runs::events::{self, Event, EventData, LoggedMessage};
use shared::testing::{PageServer, ScriptedModel, TestDatabase, TestQueues, eventually, started};
use shared::tools::{TOOLS, WEB_SEARCH};

use crate::{LEASE, answer, claim_one, claimant, pending_runs, user_message, worker_config};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    status: String,
}

pub(crate) fn config(
    dir: &Path,
    database: &TestDatabase,
    queues: &TestQueues,
    model: &ScriptedModel,
) -> Config {
    let file = model.models_file().replace(&format!("api_key_env = \"{}\"", ScriptedModel::KEY_VARIABLE), "");
    let python = std::env::var("CAPI_TEST_SANDBOX_PYTHON").unwrap();
    let entry = env!("CARGO_BIN_EXE_sandbox-entry");
    let more =
        ["--sandbox-entry", entry, "--sandbox-python", &python, "--fetch-allowed-networks", "127.0.0.0/8"];
    worker_config(dir, (database, queues), &file, &more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_anywhere_is_rebuilt_into_the_request_that_was_sent() {
    use diesel_async::RunQueryDsl;
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let (model, pages) = (ScriptedModel::start().await, PageServer::start().await);
    let (_, ids) = pending_runs(&database, 1).await;
    let fetch = json!({"url": pages.url("/slow")}).to_string();
    let report = json!({"title": "a.md", "media_type": "text/markdown", "content": "é\u{1f600}"}).to_string();
    let script = json!([
        {"say": "One.", "call": [
            ["fetch_url", fetch], ["current_time", ""], ["save_artifact", report], ["none", "{"],
        ]},
        {"say": "Two.", "usage": null, "call": [
            ["shell", "{\"script\": \"echo hi > \
                       f\"}"], ["read_file", "{\"path\": \"f\"}"], ["edit_file", "{}"],
        ]},
        {"say": "not JSON"},
        {"say": "{\"n\": 1}"},
    ]);
    let tools: Vec<_> = TOOLS.into_iter().filter(|tool| *tool != WEB_SEARCH).collect();
    let definition = json!({
        "name": "a", "prompt": format!("SCRIPT {script}"), "instructions": "Be good.", "limits": {"steps": 4},
        "tools": tools, "output": {"schema": {"type": "object"}},
    });
    statement("UPDATE app_versions SET definition = $1")
        .bind::<diesel::sql_types::Jsonb, _>(&definition)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    database.run_sql("UPDATE runs SET chat_model_id = 'scripted'").await;

    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &model);
    let running = started(async || run_worker::start(&config, None).await).await;
    eventually("the run is completed", async || {
        let row: Row =
            statement("SELECT status FROM runs").get_result(&mut database.conn().await).await.unwrap();
        (row.status == "completed").then_some(())
    })
    .await;
    running.lifecycle.stop().await;

    let log = events::read(&mut database.conn().await, ids[0]).await.unwrap();
    let mut sent: VecDeque<Value> = model.asked().into_iter().map(|(_, body)| body).collect();
    assert_eq!(sent.len(), 4);
    let log: Vec<EventData> = log.iter().map(|event| Event::read(event).unwrap().unwrap()).collect();
    let models = ModelsFile::read(&config.catalog.models).unwrap();
    let client = ModelClient::new(models.default_model()).unwrap();
    for cut in 1..=log.len() {
        let transcript = Transcript::rebuild(&log[..cut]);
        // The next attempt asks the model here, unless more messages to the model follow.
        let more_to_say = log.get(cut).is_some_and(|next| {
            matches!(next, EventData::Note(_) | EventData::Message(LoggedMessage::User { .. }))
        });
        if transcript.next() == Next::Ask && !more_to_say {
            let body = sent.pop_front().expect("no more requests than were sent");
            let again = Request {
                messages: transcript.messages(),
                tools: &[],
                schema: None,
                max_tokens: None,
                tool_choice: ToolChoice::Auto,
            };
            assert_eq!(client.body(again)["messages"], body["messages"], "cut after event {cut}");
        }
    }
    assert!(sent.is_empty(), "each request follows from the log");
}

/// Without that event the agent could make a call twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_conversation_cannot_be_read_fails() {
    use diesel_async::RunQueryDsl;
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    let (user, ids) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let claimed = claim_one(&mut conn, &claimant("lost", 5), user).await.unwrap();
    let said = [user_message("Go."), answer("Half."), user_message("Go on.")];
    assert!(append(&mut conn, claimed.fence(), claimed.last_seq, &said, LEASE).await.unwrap());
    // The state of the run may be unreadable, the conversation may not.
    database.run_sql("UPDATE run_events SET data = '{\"worker\": 7}' WHERE type = 'run.started'").await;
    database
        .run_sql("UPDATE run_events SET data = '{\"role\": \"user\"}' WHERE data->>'content' = 'Go on.'")
        .await;
    database
        .run_sql("UPDATE runs SET chat_model_id = 'scripted', lease_expires_at = capi_now() - interval '1 s'")
        .await;

    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &model);
    let running = started(async || run_worker::start(&config, None).await).await;
    let row = eventually("the run is over", async || {
        let sql = "SELECT concat_ws(' ', status, error_code, error->>'message', result->>'text') AS status
                   FROM runs WHERE id = $1 AND completed_at IS NOT NULL";
        let query = statement(sql).bind::<diesel::sql_types::Uuid, _>(ids[0].uuid());
        query.get_result::<Row>(&mut database.conn().await).await.ok()
    })
    .await;
    running.lifecycle.stop().await;
    assert_eq!(row.status, "failed internal_error the run's log cannot be read Half.");
    assert!(model.asked().is_empty());
}
