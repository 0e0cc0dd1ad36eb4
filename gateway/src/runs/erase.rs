//! Deleting a finished run from the database.

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::RunId;

/// In the order in which whoever else writes takes them. A dispatcher that records an attempt meanwhile is waited for, and
/// one that comes later finds its delivery gone: it records nothing.
const LOCK: [&str; 2] = [
    "SELECT 1 FROM runs WHERE id = $1 FOR UPDATE",
    "SELECT 1 FROM webhook_deliveries WHERE run_id = $1 FOR UPDATE",
];

/// In the order of their references.
const ERASE: [&str; 6] = [
    "DELETE FROM webhook_attempts a USING webhook_deliveries d WHERE a.delivery_id = d.id AND d.run_id = $1",
    "DELETE FROM webhook_deliveries WHERE run_id = $1",
    "DELETE FROM run_files WHERE run_id = $1",
    "DELETE FROM artifacts WHERE run_id = $1",
    "DELETE FROM run_events WHERE run_id = $1",
    "DELETE FROM runs WHERE id = $1",
];

/// Deletes the run and all rows that belong to it.
pub(super) async fn erase(conn: &mut Connection, run: RunId) -> Result<(), DbError> {
    conn.build_transaction()
        .run(async |conn| {
            for sql in LOCK.into_iter().chain(ERASE) {
                statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(conn).await?;
            }
            Ok::<_, DbError>(())
        })
        .await
}
