//! Deleting a finished run.

use actix_web::web;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::runs::status;

use super::Named;
use crate::audit::{self, Action, Actor};
use crate::context::Context;
use crate::error::ApiError;

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

/// Deletes everything that a run of the user's left, if it is over. The bytes go first: should the store fail, the rows are still there,
/// and asking again finishes it.
pub(crate) async fn delete_run(
    context: web::Data<Context>,
    user: UserId,
    named: Named,
    by: Actor,
) -> Result<(), ApiError> {
    // In a task of its own: a client that hangs up in between must not leave rows without their bytes.
    let deleting = actix_web::rt::spawn(async move {
        let asking =
            context.db.read(|mut conn| async move { status(&mut conn, user, named.app, named.run).await });
        let status = asking.await?.ok_or(ApiError::NotFound("run"))?;
        // A run that is over stays so: nothing can come in between but another delete.
        if !status.is_over() {
            return Err(ApiError::RunNotFinished(status));
        }
        context.artifacts.delete_all(named.run).await?;
        context.db.write(|mut conn| async move { erase(&mut conn, user, named.run, by).await }).await?;
        tracing::info!(run_id = %named.run, "run deleted");
        Ok(())
    });
    deleting.await.map_err(|_| ApiError::Internal)?
}

/// Deletes the run and all rows that belong to it.
async fn erase(conn: &mut Connection, user: UserId, run: RunId, by: Actor) -> Result<(), DbError> {
    conn.build_transaction()
        .run(async |conn| {
            let mut gone = 0;
            for sql in LOCK.into_iter().chain(ERASE) {
                gone = statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(conn).await?;
            }
            if gone == 1 {
                audit::record(conn, user, by, Action::RunDeleted, &run.to_string()).await?;
            }
            Ok::<_, DbError>(())
        })
        .await
}
