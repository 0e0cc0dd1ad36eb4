//! The migration that adds places to slots runs beside the claims of working services.

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shared::db::statement;
use shared::testing::{TestDatabase, eventually};

use crate::pending_runs;

const UP: &str = include_str!("../../../shared/migrations/00000000000023_places/up.sql");
const DOWN: &str = include_str!("../../../shared/migrations/00000000000023_places/down.sql");

/// A claim holds a slot and then locks runs. A migration that held the runs and waited for the slots would
/// deadlock with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_migration_locks_slots_before_runs() {
    let database = TestDatabase::create().await;
    pending_runs(&database, 1).await;
    for sql in [DOWN, UP] {
        let mut claiming = database.conn().await;
        // On a busy machine the test may take long to see the wait.
        let lock = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
                    SELECT 1 FROM user_slots FOR UPDATE";
        claiming.batch_execute(lock).await.unwrap();
        let mut conn = database.conn().await;
        conn.batch_execute("SET lock_timeout = 0").await.unwrap();
        let migrating =
            tokio::spawn(async move { conn.batch_execute(&format!("BEGIN; {sql} COMMIT")).await });
        eventually("the migration waits", async || {
            let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                           AND wait_event_type = 'Lock' AND query LIKE 'BEGIN; %'";
            (database.run_sql(waiting).await == 1).then_some(())
        })
        .await;
        for step in ["UPDATE runs SET title = 'claimed'", "COMMIT"] {
            statement(step).execute(&mut claiming).await.unwrap();
        }
        migrating.await.unwrap().unwrap();
    }
}
