//! Runs with pictures, with the whole worker.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use diesel::sql_types::{BigInt, Bytea, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use image::ImageFormat;
use run_worker::config::Config;
use run_worker::leases::append::append;
use serde_json::Value;
use shared::db::statement;
use shared::ids::{FileId, RunId};
use shared::runs::events::{self, Event, EventData, LoggedMessage, LoggedPicture};
use shared::storage::{Artifacts, ObjectKey};
use shared::testing::{ScriptedModel, TestDatabase, TestQueues, eventually, started};

use super::picture;
use crate::{LEASE, claim_one, claimant, pending_runs, worker_config};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    end: String,
}

/// The settings of a worker whose model sees pictures.
pub(super) fn config(
    dir: &Path,
    database: &TestDatabase,
    queues: &TestQueues,
    model: &ScriptedModel,
) -> Config {
    let file = model.models_file().replace(&format!("api_key_env = \"{}\"", ScriptedModel::KEY_VARIABLE), "");
    let file = file.replace("model = \"scripted\"", "model = \"scripted\"\nvision = true");
    let more = ["--sandbox", "off", "--picture-reader", env!("CARGO_BIN_EXE_picture-reader")];
    worker_config(dir, (database, queues), &file, &more)
}

/// Stores an input file of the run, as the gateway does.
async fn give(database: &TestDatabase, store: &Artifacts, run: RunId, bytes: &[u8]) -> FileId {
    let file = FileId::generate();
    store.put(&ObjectKey::file(run, file), bytes.to_vec().into()).await.unwrap();
    let sql = "INSERT INTO run_files (id, run_id, name, type, size, sha256, part, position)
               VALUES ($1, $2, 'door.png', 'image/png', $3, $4, 'files', 0)";
    statement(sql)
        .bind::<SqlUuid, _>(file.uuid())
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<BigInt, _>(i64::try_from(bytes.len()).unwrap())
        .bind::<Bytea, _>(digest(&SHA256, bytes).as_ref())
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    file
}

/// How the run ended, once it has.
pub(super) async fn end(database: &TestDatabase, run: RunId) -> String {
    let sql = "SELECT concat_ws(' ', status, error_code, error->>'message') AS end
               FROM runs WHERE id = $1 AND completed_at IS NOT NULL";
    eventually("the run is over", async || {
        let query = statement(sql).bind::<SqlUuid, _>(run.uuid());
        query.get_result::<Row>(&mut database.conn().await).await.ok()
    })
    .await
    .end
}

/// A run that begins, a run that another worker has begun, and one whose picture is damaged.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_shown_the_pictures_and_again_after_a_takeover() {
    let (database, queues) = (TestDatabase::create().await, TestQueues::create());
    let model = ScriptedModel::start().await;
    let (user, ids) = pending_runs(&database, 3).await;
    database.run_sql("UPDATE runs SET chat_model_id = 'scripted'").await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &database, &queues, &model);
    let store =
        Artifacts::open(&format!("file://{}/artifacts", dir.path().display()).parse().unwrap()).unwrap();
    let bytes = picture(90, 60, ImageFormat::Png);
    let taken_over = give(&database, &store, ids[0], &bytes).await;
    let begun = give(&database, &store, ids[1], &bytes).await;
    give(&database, &store, ids[2], &bytes[..bytes.len() / 2]).await;

    let mut conn = database.conn().await;
    let claimed = claim_one(&mut conn, &claimant("lost", 5), user).await.unwrap();
    assert_eq!(claimed.id, ids[0]);
    let logged =
        |file| LoggedPicture { file, name: "door.png".to_owned(), media_type: "image/png".to_owned() };
    let asked = |file| {
        EventData::Message(LoggedMessage::User { content: "p".to_owned(), pictures: vec![logged(file)] })
    };
    let said = [asked(taken_over)];
    assert!(append(&mut conn, claimed.fence(), claimed.last_seq, &said, LEASE).await.unwrap());
    database
        .run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE status = 'running'")
        .await;

    let running = started(async || run_worker::start(&config, None).await).await;
    for id in &ids[..2] {
        assert_eq!(end(&database, *id).await, "completed");
    }
    let refused = end(&database, ids[2]).await;
    running.lifecycle.stop().await;
    assert!(refused.starts_with("failed prompt_error inputs/door.png: the picture is damaged"), "{refused}");

    let log = events::read(&mut database.conn().await, ids[1]).await.unwrap();
    let log: Vec<EventData> = log.iter().map(|event| Event::read(event).unwrap().unwrap()).collect();
    assert!(log.contains(&asked(begun)), "{log:?}");
    let sent: Vec<Value> = model.asked().into_iter().map(|(_, body)| body).collect();
    assert_eq!(sent.len(), 2, "the model is not asked about the damaged picture");
    let data = BASE64_STANDARD.encode(&bytes);
    for body in &sent {
        assert_eq!(body["messages"], sent[0]["messages"], "the same in both attempts");
        let text = body.to_string();
        assert_eq!(text.matches(&data).count(), 1, "{text}");
        assert!(text.contains("image/png"), "{text}");
    }
}
