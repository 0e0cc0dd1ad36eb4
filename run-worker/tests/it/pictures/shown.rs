//! Pictures that `read_file` shows to the model, with the whole worker.

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use diesel::sql_types::{BigInt, Bytea, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use image::ImageFormat;
use run_worker::leases::append::append;
use serde_json::{Value, json};
use shared::db::statement;
use shared::ids::{FileId, RunId};
use shared::runs::events::{
    self, Event, EventData, LoggedAnswer, LoggedMessage, RequestedCall, StepUsage, StoredPicture, ToolCall,
    ToolResult,
};
use shared::storage::{Artifacts, ObjectKey, hex};
use shared::testing::{ScriptedModel, TestDatabase, TestQueues, eventually, started};
use uuid::Uuid;

use super::picture;
use super::runs::{config, end};
use crate::{LEASE, claim_one, claimant, pending_runs, user_message};

const ARGUMENTS: &str = r#"{"path": "inputs/door.png"}"#;

/// Stores an input file that is not shown with the prompt: the row does not call it a picture.
async fn give(database: &TestDatabase, store: &Artifacts, run: RunId, bytes: &[u8]) {
    let file = FileId::generate();
    store.put(&ObjectKey::file(run, file), Bytes::copy_from_slice(bytes)).await.unwrap();
    let sql = "INSERT INTO run_files (id, run_id, name, type, size, sha256, part, position)
               VALUES ($1, $2, 'door.png', 'application/octet-stream', $3, $4, 'files', 0)";
    statement(sql)
        .bind::<SqlUuid, _>(file.uuid())
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<BigInt, _>(i64::try_from(bytes.len()).unwrap())
        .bind::<Bytea, _>(digest(&SHA256, bytes).as_ref())
        .execute(&mut database.conn().await)
        .await
        .unwrap();
}

/// The log of a run whose worker was lost after the picture was shown.
fn lost_log(script: &str, stored: &StoredPicture) -> [EventData; 4] {
    let id = Uuid::now_v7();
    let answer = EventData::Message(LoggedMessage::Assistant(LoggedAnswer {
        content: String::new(),
        finish_reason: "tool_calls".to_owned(),
        usage: StepUsage::default(),
        tool_calls: vec![RequestedCall {
            id,
            provider_id: "call_1".to_owned(),
            name: "read_file".to_owned(),
            arguments: ARGUMENTS.to_owned(),
            extra: None,
        }],
        reasoning: None,
    }));
    let intent = EventData::ToolCall(ToolCall {
        call_id: id,
        name: "read_file".to_owned(),
        arguments: ARGUMENTS.to_owned(),
        step: 1,
        truncated: false,
    });
    let result = EventData::ToolResult(ToolResult {
        call_id: id,
        name: "read_file".to_owned(),
        content: "[shown]".to_owned(),
        is_error: false,
        picture: Some(stored.clone()),
        workspace: None,
        contacted_hosts: Vec::new(),
        over_quota: false,
        sources: Vec::new(),
    });
    [user_message(script), answer, intent, result]
}

async fn set_app(database: &TestDatabase, script: &str) {
    let definition = json!({"name": "a", "prompt": script, "tools": ["read_file"]});
    statement("UPDATE app_versions SET definition = $1")
        .bind::<Jsonb, _>(&definition)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    database.run_sql("UPDATE runs SET chat_model_id = 'scripted'").await;
}

async fn shown_pictures(store: &Artifacts, run: RunId) -> usize {
    let keys = store.list(Some(run)).filter(|object| {
        let is_picture = object.as_ref().unwrap().key.is_shown_picture(run);
        std::future::ready(is_picture)
    });
    keys.count().await
}

/// The parts of the last message that a request has.
fn last_parts(body: &Value) -> Value {
    body["messages"].as_array().unwrap().last().unwrap().clone()
}

/// A run that reads a picture, and one that another worker continues after the picture was shown. There the
/// workspace has another file of this name, so only the stored picture can be the right one.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_was_read_is_shown_and_again_after_a_takeover() {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    let (user, ids) = pending_runs(&database, 2).await;
    let script = format!("SCRIPT {}", json!([{"call": [["read_file", ARGUMENTS]]}, {"say": "A door."}]));
    set_app(&database, &script).await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &model);
    let store =
        Artifacts::open(&format!("file://{}/artifacts", dir.path().display()).parse().unwrap()).unwrap();
    let (bytes, other) = (picture(90, 60, ImageFormat::Png), picture(20, 10, ImageFormat::Png));
    give(&database, &store, ids[0], &other).await;
    give(&database, &store, ids[1], &bytes).await;
    let stored = StoredPicture {
        name: "inputs/door.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: bytes.len() as u64,
        sha256: hex(digest(&SHA256, &bytes).as_ref()),
    };
    let key = ObjectKey::shown_picture(ids[0], &stored.sha256);
    store.put(&key, Bytes::copy_from_slice(&bytes)).await.unwrap();

    let mut conn = database.conn().await;
    let claimed = claim_one(&mut conn, &claimant("lost", 5), user).await.unwrap();
    assert_eq!(claimed.id, ids[0]);
    let log = lost_log(&script, &stored);
    assert!(append(&mut conn, claimed.fence(), claimed.last_seq, &log, LEASE).await.unwrap());
    database
        .run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE status = 'running'")
        .await;

    let running = started(async || run_worker::start(&config, None).await).await;
    for id in &ids {
        assert_eq!(end(&database, *id).await, "completed");
        eventually("the shown pictures are deleted", async || {
            (shown_pictures(&store, *id).await == 0).then_some(())
        })
        .await;
    }
    running.lifecycle.stop().await;

    let log = events::read(&mut database.conn().await, ids[1]).await.unwrap();
    let log: Vec<EventData> = log.iter().map(|event| Event::read(event).unwrap().unwrap()).collect();
    let logged = log.iter().find_map(|event| match event {
        EventData::ToolResult(result) => result.picture.clone(),
        _ => None,
    });
    assert_eq!(logged, Some(stored), "a small picture is stored as it is");
    let data = BASE64_STANDARD.encode(&bytes);
    let with_picture: Vec<Value> = model
        .asked()
        .into_iter()
        .map(|(_, body)| body)
        .filter(|body| body.to_string().contains(&data))
        .collect();
    let [first, second] = with_picture.as_slice() else { panic!("each run shows it once") };
    assert_eq!(last_parts(first), last_parts(second), "the same in both attempts");
    assert_eq!(last_parts(first)["role"], "user", "a tool message holds only text");
    assert_eq!(first.to_string().matches(&data).count(), 1);
}

/// The worker of a model that does not see says what the file is.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_see_is_told_what_the_file_is() {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    let (_, ids) = pending_runs(&database, 1).await;
    let script = format!("SCRIPT {}", json!([{"call": [["read_file", ARGUMENTS]]}, {"say": "Blind."}]));
    set_app(&database, &script).await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &model);
    let models = std::fs::read_to_string(&config.catalog.models).unwrap();
    std::fs::write(&config.catalog.models, models.replace("vision = true", "vision = false")).unwrap();
    let store =
        Artifacts::open(&format!("file://{}/artifacts", dir.path().display()).parse().unwrap()).unwrap();
    give(&database, &store, ids[0], &picture(90, 60, ImageFormat::Png)).await;
    let running = started(async || run_worker::start(&config, None).await).await;
    assert_eq!(end(&database, ids[0]).await, "completed");
    running.lifecycle.stop().await;
    let (_, body) = model.asked().pop().unwrap();
    let said = last_parts(&body)["content"].as_str().unwrap().to_owned();
    assert!(said.contains("is a picture (image/png, ") && said.contains("cannot see pictures"), "{said}");
    assert_eq!(shown_pictures(&store, ids[0]).await, 0);
}
