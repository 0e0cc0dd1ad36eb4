//! What PostgreSQL says when it is not to blame for, or not up to, a statement.

use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::QueryableByName;
use diesel::sql_types::Integer;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shared::config::DatabaseConfig;
use shared::db::{Connection, Db, DbError, statement};
use shared::testing::{TestDatabase, eventually};

async fn failure(conn: &mut Connection, sql: &str) -> DbError {
    conn.batch_execute(sql).await.unwrap_err().into()
}

async fn two_rows() -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    database.run_sql("CREATE TABLE t (n integer PRIMARY KEY CHECK (n < 3), hits integer DEFAULT 0)").await;
    database.run_sql("INSERT INTO t VALUES (1), (2)").await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_are_told_from_refusals() {
    let database = two_rows().await;
    let (mut conn, mut other) = (database.conn().await, database.conn().await);
    for sql in ["SELECT 1/0", "INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (1)", "SELEC"] {
        let error = failure(&mut conn, sql).await;
        assert!(!error.is_outage() && !error.is_conflict(), "{sql}: {error}");
    }
    other.batch_execute("BEGIN; SELECT 1 FROM t FOR UPDATE").await.unwrap();
    for sql in [
        "SET lock_timeout = 100; SELECT 1 FROM t FOR UPDATE",
        "SET statement_timeout = 100; SELECT pg_sleep(9)",
        "BEGIN READ ONLY; INSERT INTO t VALUES (2)",
        "ROLLBACK; SELECT pg_terminate_backend(pg_backend_pid())",
        "SELECT 1",
    ] {
        let error = failure(&mut conn, sql).await;
        assert!(error.is_outage() && !error.is_conflict(), "{sql}: {error}");
    }
}

/// Two writers that lock the same rows in opposite order, as often as it takes to meet: one is rolled back,
/// and does its work again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_costs_a_retry() {
    let database = two_rows().await;
    let (calls, barrier) = (AtomicUsize::new(0), tokio::sync::Barrier::new(2));
    let writer = async |first: i32, second: i32| {
        let met = AtomicUsize::new(0);
        let (calls, barrier, met) = (&calls, &barrier, &met);
        database
            .db
            .write(|mut conn| async move {
                calls.fetch_add(1, Ordering::Relaxed);
                conn.build_transaction()
                    .run(async |conn| {
                        let hit = statement("UPDATE t SET hits = hits + 1 WHERE n = $1");
                        hit.clone().bind::<diesel::sql_types::Integer, _>(first).execute(conn).await?;
                        if met.fetch_add(1, Ordering::Relaxed) == 0 {
                            barrier.wait().await;
                        }
                        hit.bind::<diesel::sql_types::Integer, _>(second).execute(conn).await?;
                        Ok::<_, DbError>(())
                    })
                    .await
            })
            .await
    };
    let (one, other) = tokio::join!(writer(1, 2), writer(2, 1));
    one.unwrap();
    other.unwrap();
    // The loser may lock its first row again before the winner wakes up. Then they meet once more.
    let calls = calls.into_inner();
    assert!((3..=6).contains(&calls), "one of the two was done again: {calls} calls");
    assert_eq!(database.run_sql("SELECT FROM t WHERE hits = 2").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_call_came_to_no_good_end_is_not_used_again() {
    const SLEEPING: &str =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        pid: i32,
    }
    let database = TestDatabase::create_empty().await;
    let config = DatabaseConfig { url: database.url.clone().into(), pool_size: 1 };
    let db = Db::new(&config, "capi-test").unwrap();
    let pid = async || {
        let asking = || {
            db.read(|mut conn| async move {
                Ok(statement("SELECT pg_backend_pid() AS pid").get_result::<Row>(&mut conn).await?.pid)
            })
        };
        eventually("a connection is free", async || asking().await.ok()).await
    };
    let first = pid().await;
    assert_eq!(pid().await, first, "it is reused");
    let given_up =
        db.read(|mut conn| async move { Ok(statement("SELECT pg_sleep(9)").execute(&mut conn).await?) });
    tokio::select! {
        ended = given_up => panic!("it does not sleep: {ended:?}"),
        () = eventually("the statement runs", async || {
            (database.run_sql(SLEEPING).await == 1).then_some(())
        }) => {}
    }
    let second = pid().await;
    assert_ne!(second, first, "its statement is not through");
    let failed = db.read(|mut conn| async move { Ok(statement("SELECT 1/0").execute(&mut conn).await?) });
    assert!(failed.await.is_err());
    assert_eq!(pid().await, second, "a refused statement says nothing against it");
    let standby: Result<(), _> = db.read(|_conn| async { Err(DbError::ReadOnly) }).await;
    assert!(standby.is_err());
    assert_ne!(pid().await, second, "what takes no writes is not kept");
    let kept = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {first}");
    eventually("the abandoned connection is closed", async || {
        (database.run_sql(kept.clone()).await == 0).then_some(())
    })
    .await;
}
