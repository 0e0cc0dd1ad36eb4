//! Retention deletes runs that ended long ago, with everything that belongs to them, and nothing else.

mod batches;

use std::time::Duration;

use bytes::Bytes;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use run_worker::retention::{Pass, Retention};
use serde_json::json;
use shared::db::statement;
use shared::ids::{ArtifactId, RunId};
use shared::lifecycle::Lifecycle;
use shared::storage::{Artifacts, ObjectKey, StorageError, StoreOwner};
use shared::testing::TestDatabase;
use tokio_util::sync::CancellationToken;

use crate::pending_runs;

const NOW: Duration = Duration::ZERO;

async fn retention(database: &TestDatabase, store: &Artifacts, worker: &str) -> Retention {
    Retention {
        db: database.db.clone(),
        artifacts: store.clone(),
        owner: StoreOwner::watch(&database.db, store, &Lifecycle::default()).await,
        days: json!({"pro": 30}),
        worker: worker.to_owned(),
        stopping: CancellationToken::new(),
    }
}

fn open(dir: &tempfile::TempDir) -> Artifacts {
    Artifacts::open(&url::Url::from_directory_path(dir.path()).unwrap()).unwrap()
}

/// Gives the run this status, as it was so many days ago.
async fn set(database: &TestDatabase, run: RunId, status: &str, days: i32) {
    let sql = format!(
        "UPDATE runs SET status = $2, created_at = capi_now() - interval '{} hours',
             completed_at = CASE WHEN $2 IN ('pending', 'running') THEN NULL
                            ELSE capi_now() - interval '{} hours' END,
             lease_expires_at = CASE WHEN $2 = 'running' THEN capi_now() END,
             result = '{{}}', error = CASE WHEN $2 = 'failed' THEN '{{}}'::jsonb END,
             error_code = CASE WHEN $2 = 'failed' THEN 'x' END
         WHERE id = $1",
        days * 24 + 1,
        days * 24
    );
    let setting = statement(sql).bind::<SqlUuid, _>(run.uuid()).bind::<Text, _>(status);
    setting.execute(&mut database.conn().await).await.unwrap();
}

/// Gives the run an artifact, a file and a delivery with an attempt.
async fn add_all(database: &TestDatabase, store: &Artifacts, run: RunId, delivery: &str) -> ObjectKey {
    let artifact = ArtifactId::generate();
    let rows = "
        WITH a AS (
            INSERT INTO artifacts (id, run_id, type, title, size, sha256)
            VALUES ($2, $1, 'a/b', 't', 7, sha256(''))
        ), f AS (
            INSERT INTO run_files (id, run_id, name, type, size, sha256)
            VALUES (gen_random_uuid(), $1, 'n', 'a/b', 5, sha256(''))
        ), m AS (
            INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
            SELECT user_id, 'k', 'v', created_at, id FROM runs WHERE id = $1
        ), k AS (
            INSERT INTO idempotency_keys (user_id, path, key, request_hash, run_id, expires_at)
            SELECT user_id, '/', id::text, sha256(''), id, capi_now() FROM runs WHERE id = $1
        ), l AS (
            INSERT INTO webhook_lanes (id, user_id, host)
            SELECT gen_random_uuid(), user_id, id::text FROM runs WHERE id = $1 RETURNING id, user_id
        ), d AS (
            INSERT INTO webhook_deliveries
                (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
            SELECT gen_random_uuid(), id, user_id, $1, 'run.completed', 'http://h/', $3,
                CASE WHEN $3 = 'retrying' THEN capi_now() END, capi_now() FROM l RETURNING id
        )
        INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms)
        SELECT id, 1, capi_now(), 1 FROM d";
    statement(rows)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<SqlUuid, _>(artifact.uuid())
        .bind::<Text, _>(delivery)
        .execute(&mut database.conn().await)
        .await
        .unwrap();
    let key = ObjectKey::artifact(run, artifact);
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_go_with_everything_and_others_stay() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = open(&dir);
    let (user, runs) = pending_runs(&database, 9).await;
    let gone = [(0, "completed", 31), (1, "failed", 40), (2, "cancelled", 400)];
    let kept = [(3, "completed", 29), (4, "pending", 40), (5, "running", 40), (6, "completed", 40)];
    for (at, status, days) in gone.into_iter().chain(kept) {
        set(&database, runs[at], status, days).await;
    }
    // Created long ago, and over only now.
    set(&database, runs[7], "completed", 29).await;
    let stayed_long =
        statement("UPDATE runs SET created_at = created_at - interval '240 hours' WHERE id = $1")
            .bind::<SqlUuid, _>(runs[7].uuid());
    stayed_long.execute(&mut database.conn().await).await.unwrap();
    let deleted = add_all(&database, &store, runs[0], "delivered").await;
    let open_delivery = add_all(&database, &store, runs[6], "retrying").await;
    // Its end is delivered, and the event of its artifact is not.
    set(&database, runs[8], "completed", 40).await;
    let open_event = add_all(&database, &store, runs[8], "delivered").await;
    let event = "INSERT INTO webhook_deliveries
                     (id, lane_id, user_id, event_run_id, artifact_id, type, url, status, next_attempt_at,
                      due_at, created_at)
                 SELECT gen_random_uuid(), d.lane_id, d.user_id, a.run_id, a.id, 'run.artifact', d.url,
                     'retrying', 'infinity', capi_now(), capi_now()
                 FROM webhook_deliveries d JOIN artifacts a ON a.run_id = d.run_id WHERE d.run_id = $1";
    let adding = statement(event).bind::<SqlUuid, _>(runs[8].uuid());
    assert_eq!(adding.execute(&mut database.conn().await).await.unwrap(), 1);
    let lines = "INSERT INTO audit_log (id, user_id, at, actor, action, subject)
                 SELECT gen_random_uuid(), id, capi_now() - n * interval '24 hours', 'a', 'a', 's'
                 FROM users, unnest(ARRAY[29, 31, 90]) n";
    database.run_sql(lines).await;
    // Another plan keeps everything.
    let (other, others) = pending_runs(&database, 1).await;
    set(&database, others[0], "completed", 400).await;
    let moving = statement("UPDATE users SET plan = 'team' WHERE id = $1").bind::<SqlUuid, _>(other.uuid());
    moving.execute(&mut database.conn().await).await.unwrap();

    let retention = retention(&database, &store, "w").await;
    assert_eq!(retention.pass(NOW).await.unwrap(), Pass::Complete { runs: 3 });
    let left = "SELECT 1 FROM runs";
    assert_eq!(database.run_sql(left).await, 7);
    for table in ["run_events", "run_metadata", "artifacts", "run_files"] {
        let of_gone =
            format!("SELECT 1 FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = t.run_id)");
        assert_eq!(database.run_sql(of_gone).await, 0, "{table}");
    }
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_deliveries").await, 3, "of runs with an open one");
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_attempts").await, 2);
    assert_eq!(database.run_sql("SELECT 1 FROM audit_log").await, 1);
    assert!(store.exists(&deleted).await.is_err());
    assert!(store.exists(&open_delivery).await.is_ok() && store.exists(&open_event).await.is_ok());
    assert_eq!(database.run_sql("SELECT 1 FROM account_use WHERE stored_bytes = 24").await, 1, "{user}");

    // The webhooks are over: the next pass deletes their runs.
    let over = "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, due_at = NULL";
    database.run_sql(over).await;
    assert_eq!(retention.pass(Duration::from_hours(1)).await.unwrap(), Pass::NotDue);
    assert_eq!(retention.pass(NOW).await.unwrap(), Pass::Complete { runs: 2 });
    assert!(store.exists(&open_delivery).await.is_err() && store.exists(&open_event).await.is_err());
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_deliveries").await, 0);
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_attempts").await, 0);
    assert_eq!(database.run_sql("SELECT 1 FROM account_use WHERE stored_bytes = 0").await, 1);
}

/// A pass that was ended after some batches is no loss, and two workers never delete at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_resumed_and_one_worker_has_the_turn() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = open(&dir);
    let (_, runs) = pending_runs(&database, 120).await;
    for run in runs {
        set(&database, run, "completed", 60).await;
    }
    let first = retention(&database, &store, "first").await;
    first.stopping.cancel();
    assert_eq!(first.pass(NOW).await.unwrap(), Pass::Interrupted);
    let left = database.run_sql("SELECT 1 FROM runs").await;
    assert!((1..120).contains(&left), "one batch is deleted: {left}");
    let second = retention(&database, &store, "second").await;
    assert_eq!(second.pass(NOW).await.unwrap(), Pass::NotDue, "the first one still has the turn");
    // It died.
    database.set_clock_ahead(Duration::from_mins(2)).await;
    let left = u64::try_from(left).unwrap();
    assert_eq!(second.pass(NOW).await.unwrap(), Pass::Complete { runs: left });
    assert_eq!(database.run_sql("SELECT 1 FROM runs").await, 0);
    assert_eq!(database.run_sql("SELECT 1 FROM run_events").await, 0);
}

/// A copy of production's database beside production's store.
#[tokio::test(flavor = "multi_thread")]
async fn retention_keeps_what_another_installation_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (production, staging) = (TestDatabase::create().await, TestDatabase::create().await);
    staging.run_sql("UPDATE installation SET id = gen_random_uuid()").await;
    let of_production = open(&dir);
    let _owner = StoreOwner::watch(&production.db, &of_production, &Lifecycle::default()).await;
    let (store, (_, runs)) = (open(&dir), pending_runs(&staging, 1).await);
    set(&staging, runs[0], "completed", 60).await;
    let key = add_all(&staging, &of_production, runs[0], "delivered").await;
    let retention = retention(&staging, &store, "w").await;
    assert_eq!(retention.pass(NOW).await.unwrap(), Pass::ForeignStore);
    assert_eq!(staging.run_sql("SELECT 1 FROM runs").await, 1);
    let refused = [
        store.delete_all(runs[0]).await,
        store.delete(&key).await,
        store.delete_abandoned(chrono::Utc::now(), 1).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StorageError::Foreign)), "{refused:?}");
    }
    assert!(of_production.exists(&key).await.is_ok());
}

/// A run that cannot be deleted must not stop the retention of other accounts.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_fails_does_not_stop_the_pass() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = open(&dir);
    for _ in 0..3 {
        let (_, runs) = pending_runs(&database, 1).await;
        set(&database, runs[0], "completed", 60).await;
    }
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF OLD.user_id = (SELECT user_id FROM runs ORDER BY user_id LIMIT 1) THEN
                        RAISE 'canceling statement due to statement timeout';
                    END IF;
                    RETURN OLD;
                END $$";
    database.run_sql(fail).await;
    database.run_sql("CREATE TRIGGER fail BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION fail()").await;
    let retention = retention(&database, &store, "w").await;
    assert_eq!(retention.pass(NOW).await.unwrap(), Pass::Complete { runs: 2 });
}
