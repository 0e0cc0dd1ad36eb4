//! The statements of retention: which runs a batch deletes, and how stored bytes are counted.

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use run_worker::retention::Pass;
use shared::db::statement;
use shared::ids::RunId;
use shared::testing::{TestDatabase, eventually};

use super::{NOW, add_all, open, retention, set};
use crate::pending_runs;

/// Inserts so many events behind the first one.
async fn add_events(database: &TestDatabase, run: RunId, count: i32) {
    let sql = format!(
        "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
         SELECT $1, n, 'note', capi_now(), 1, '{{}}' FROM generate_series(2, {count} + 1) n"
    );
    statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(&mut database.conn().await).await.unwrap();
}

#[derive(diesel::QueryableByName)]
struct Batch {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    runs: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    events: i64,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    more: bool,
}

async fn batch(database: &TestDatabase, days: &str) -> (i64, i64, bool) {
    let sql =
        format!("SELECT b.runs, b.events, b.more FROM users u, delete_old_runs_v2(u.id, '{days}', 5, 100) b");
    let mut conn = database.conn().await;
    // On a busy machine a test may take long to see the wait.
    conn.batch_execute("SET lock_timeout = 0").await.unwrap();
    let batch: Batch = statement(sql).get_result(&mut conn).await.unwrap();
    (batch.runs, batch.events, batch.more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_many_events_takes_several_batches() {
    let (database, days) = (TestDatabase::create().await, r#"{"pro": 30}"#);
    let (_, runs) = pending_runs(&database, 2).await;
    for run in &runs {
        set(&database, *run, "completed", 60).await;
    }
    add_events(&database, runs[0], 249).await;
    assert_eq!(batch(&database, days).await, (0, 100, true));
    assert_eq!(batch(&database, days).await, (0, 100, true));
    assert_eq!(batch(&database, days).await, (2, 51, false));
    assert_eq!(database.run_sql("SELECT 1 FROM runs").await, 0);
}

/// The operator changes the plan after the pass found old runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_the_moment_decides() {
    let database = TestDatabase::create().await;
    let (_, runs) = pending_runs(&database, 1).await;
    set(&database, runs[0], "completed", 60).await;
    database.run_sql("UPDATE users SET plan = 'team'").await;
    assert_eq!(batch(&database, r#"{"pro": 30}"#).await, (0, 0, false));
    assert_eq!(batch(&database, r#"{"pro": 30, "team": 90}"#).await, (0, 0, false));
    assert_eq!(batch(&database, r#"{"team": 59}"#).await, (1, 1, false));
}

/// A redelivery begins after the batch chose its runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_at_the_same_time_keeps_its_run() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = open(&dir);
    let (_, runs) = pending_runs(&database, 1).await;
    set(&database, runs[0], "completed", 60).await;
    add_all(&database, &store, runs[0], "delivered").await;
    let mut conn = database.conn().await;
    let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
                 UPDATE webhook_deliveries SET status = 'retrying', next_attempt_at = capi_now()";
    conn.batch_execute(begin).await.unwrap();
    let deleting = batch(&database, r#"{"pro": 30}"#);
    let redelivering = async {
        eventually("the batch waits for the delivery", async || {
            let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                           AND wait_event_type = 'Lock'";
            (database.run_sql(waiting).await > 0).then_some(())
        })
        .await;
        statement("COMMIT").execute(&mut conn).await.unwrap();
    };
    let (deleted, ()) = tokio::join!(deleting, redelivering);
    assert_eq!(deleted, (0, 0, false));
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_deliveries").await, 1);
}

/// An account from before the table: its runs are counted in slices, and concurrent changes are exact.
#[tokio::test(flavor = "multi_thread")]
async fn stored_bytes_of_an_old_account_are_counted_in_slices() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let store = open(&dir);
    let (_, runs) = pending_runs(&database, 5).await;
    for run in &runs {
        add_all(&database, &store, *run, "delivered").await;
    }
    database.run_sql("DELETE FROM account_use").await;
    let stored = async |bytes: i32| {
        let sql = format!("SELECT 1 FROM account_use WHERE stored_bytes = {bytes}");
        database.run_sql(sql).await == 1
    };
    let slice = "SELECT 1 FROM users u, count_stored_bytes_v1(u.id, 2) c WHERE c";
    assert_eq!(database.run_sql(slice).await, 0, "there are more");
    assert!(stored(24).await);
    for (at, bytes) in [(0, 12), (4, 12)] {
        let delete = "WITH f AS (DELETE FROM run_files WHERE run_id = $1)
                      DELETE FROM artifacts WHERE run_id = $1";
        let deleting = statement(delete).bind::<SqlUuid, _>(runs[at].uuid());
        deleting.execute(&mut database.conn().await).await.unwrap();
        assert!(stored(bytes).await, "only counted runs are subtracted");
    }
    for (at, bytes) in [(1, 17), (3, 17)] {
        let insert = "INSERT INTO run_files (id, run_id, name, type, size, sha256)
                      VALUES (gen_random_uuid(), $1, 'm', 'a/b', 5, sha256(''))";
        let inserting = statement(insert).bind::<SqlUuid, _>(runs[at].uuid());
        inserting.execute(&mut database.conn().await).await.unwrap();
        assert!(stored(bytes).await, "only counted runs are added");
    }
    let retention = retention(&database, &store, "w").await;
    assert_eq!(retention.pass(NOW).await.unwrap(), Pass::Complete { runs: 0 });
    assert!(stored(17 + 12 + 17).await);
    assert_eq!(database.run_sql("SELECT 1 FROM account_use WHERE counted_at = 'infinity'").await, 1);
}
