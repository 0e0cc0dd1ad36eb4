//! A failover to a standby that lost transactions: the tables get the content that they had when everything
//! was copied for the last time.

use shared::testing::TestDatabase;

/// In the order of their references.
const TABLES: [&str; 4] = ["webhook_lanes", "runs", "run_events", "webhook_deliveries"];

pub(super) async fn replicate(database: &TestDatabase) {
    for table in TABLES.into_iter().chain(["user_slots"]) {
        for sql in [
            format!("CREATE TABLE IF NOT EXISTS saved_{table} (LIKE {table})"),
            format!("TRUNCATE saved_{table}"),
            format!("INSERT INTO saved_{table} TABLE {table}"),
        ] {
            database.run_sql(sql).await;
        }
    }
}

pub(super) async fn fail_over(database: &TestDatabase) {
    database.run_sql(format!("TRUNCATE {} CASCADE", TABLES.join(", "))).await;
    for table in TABLES {
        database.run_sql(format!("INSERT INTO {table} TABLE saved_{table}")).await;
    }
    let slots = "UPDATE user_slots s SET running = o.running, pending_from = o.pending_from
                 FROM saved_user_slots o WHERE o.user_id = s.user_id";
    database.run_sql(slots).await;
}
