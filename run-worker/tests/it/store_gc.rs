//! Sweeps of the store delete unreferenced objects and keep referenced ones.

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use diesel::sql_types::{Array, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::store_gc::sweep_older;
use shared::db::statement;
use shared::ids::{ArtifactId, FileId, RunId};
use shared::runs::events::{self, EventData, StoredSnapshot, ToolResult};
use shared::storage::{Artifacts, ObjectKey};
use shared::testing::TestDatabase;

use crate::pending_runs;

/// The first two calls changed the workspace, the third did not.
fn result_of_call(run: RunId, seq: i64) -> EventData {
    let key = ObjectKey::snapshot(run, 1, seq).to_string();
    EventData::ToolResult(ToolResult {
        call_id: ArtifactId::generate().uuid(),
        name: "shell".to_owned(),
        content: String::new(),
        is_error: false,
        workspace: (seq < 3).then(|| StoredSnapshot { key, sha256: "00".to_owned(), size: 1 }),
        contacted_hosts: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_old_unreferenced_objects_are_deleted() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = Artifacts::open(&url::Url::from_directory_path(dir.path()).unwrap()).unwrap();
    let (_, runs) = pending_runs(&database, 2).await;
    let (running, over) = (runs[0], runs[1]);
    database.run_sql("UPDATE runs SET status = 'running', lease_expires_at = capi_now(), attempt = 2").await;
    let (artifact, file) = (ArtifactId::generate(), FileId::generate());
    let mut conn = database.conn().await;
    let rows = "
        WITH a AS (
            INSERT INTO artifacts (id, run_id, type, title, size, sha256)
            VALUES ($1, $3, 'a/b', 't', 1, sha256(''))
        )
        INSERT INTO run_files (id, run_id, name, type, size, sha256)
        VALUES ($2, $3, 'n', 'a/b', 1, sha256(''))";
    statement(rows)
        .bind::<SqlUuid, _>(artifact.uuid())
        .bind::<SqlUuid, _>(file.uuid())
        .bind::<SqlUuid, _>(running.uuid())
        .execute(&mut conn)
        .await
        .unwrap();
    let insert = "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
                  SELECT $1, 2 + e.number, e.type, capi_now(), 1, e.data
                  FROM unnest($2, $3) WITH ORDINALITY AS e (type, data, number)";
    for run in [running, over] {
        let (types, data) = events::columns(&[1, 2, 3].map(|seq| result_of_call(run, seq)));
        statement(insert)
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<Array<Text>, _>(types)
            .bind::<Array<Jsonb>, _>(data)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let cancel = "UPDATE runs SET status = 'cancelled', completed_at = capi_now(), lease_expires_at = NULL
                  WHERE id = $1";
    statement(cancel).bind::<SqlUuid, _>(over.uuid()).execute(&mut conn).await.unwrap();
    let unknown = RunId::generate();
    let kept = [
        ObjectKey::artifact(running, artifact),
        ObjectKey::file(running, file),
        ObjectKey::snapshot(running, 1, 2),
    ];
    let swept = [
        ObjectKey::artifact(running, ArtifactId::generate()),
        ObjectKey::file(unknown, FileId::generate()),
        ObjectKey::snapshot(running, 1, 1),
        ObjectKey::snapshot(running, 2, 7),
        ObjectKey::snapshot(over, 1, 2),
    ];
    for key in kept.iter().chain(&swept) {
        store.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(sweep_older(&database.db, &store, Utc::now() - TimeDelta::hours(1)).await.unwrap(), 0);
    assert_eq!(sweep_older(&database.db, &store, Utc::now() + TimeDelta::hours(1)).await.unwrap(), 5);
    for (keys, there) in [(&kept[..], true), (&swept[..], false)] {
        for key in keys {
            assert_eq!(store.exists(key).await.is_ok(), there, "{key}");
        }
    }
}
