//! Deleting a finished run from the database. A finished run never changes, so nothing can come between the question
//! and the deed but another delete.

use diesel::QueryableByName;
use diesel::sql_types::{Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, RunId, UserId};
use shared::runs::RunStatus;

/// Whether a run can be deleted.
pub(super) enum Erasable {
    Yes,
    NotYet(RunStatus),
    Unknown,
}

#[derive(QueryableByName)]
struct StatusRow {
    #[diesel(sql_type = Text)]
    status: String,
}

pub(super) async fn erasable(
    conn: &mut Connection,
    user: UserId,
    app: Option<AppId>,
    run: RunId,
) -> Result<Erasable, DbError> {
    let sql = "SELECT status FROM runs WHERE id = $1 AND user_id = $2 AND ($3 IS NULL OR app_id = $3)";
    let found: Option<StatusRow> = statement(sql)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .load(conn)
        .await?
        .pop();
    Ok(match found.and_then(|row| row.status.parse::<RunStatus>().ok()) {
        Some(status) if status.is_over() => Erasable::Yes,
        Some(status) => Erasable::NotYet(status),
        None => Erasable::Unknown,
    })
}

/// In the order in which whoever else writes takes them. A dispatcher that records an attempt meanwhile is waited for, and
/// one that comes later finds its delivery gone: it records nothing.
const LOCK: [&str; 2] = [
    "SELECT 1 FROM runs WHERE id = $1 FOR UPDATE",
    "SELECT 1 FROM webhook_deliveries WHERE run_id = $1 FOR UPDATE",
];

/// In the order of their references.
const ERASE: [&str; 5] = [
    "DELETE FROM webhook_attempts a USING webhook_deliveries d WHERE a.delivery_id = d.id AND d.run_id = $1",
    "DELETE FROM webhook_deliveries WHERE run_id = $1",
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
