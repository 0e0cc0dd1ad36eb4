//! Deleting a finished run.

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::storage::Artifacts;
use tracing::Instrument as _;

use super::{RunRef, get};
use crate::Refusal;
use crate::accounts::audit::{self, Action, Actor};

/// In the lock order of all writers. A dispatcher that records an attempt is waited for; one that comes later
/// finds no delivery and records nothing.
const LOCK: [&str; 2] = [
    "SELECT 1 FROM runs WHERE id = $1 FOR UPDATE",
    "SELECT 1 FROM webhook_deliveries WHERE run_id = $1 FOR UPDATE",
];

/// In the order of their references.
const DELETE: [&str; 6] = [
    "DELETE FROM webhook_attempts a USING webhook_deliveries d WHERE a.delivery_id = d.id AND d.run_id = $1",
    "DELETE FROM webhook_deliveries WHERE run_id = $1",
    "DELETE FROM run_files WHERE run_id = $1",
    "DELETE FROM artifacts WHERE run_id = $1",
    "DELETE FROM run_events WHERE run_id = $1",
    "DELETE FROM runs WHERE id = $1",
];

/// Deletes a finished run of the user with everything that belongs to it, except its idempotency key. The
/// bytes go first: if the store fails, the rows remain and a second delete finishes the work.
///
/// The work is a task of its own: a client that disconnects must not leave rows without their bytes.
pub async fn delete(
    db: &Db,
    artifacts: &Artifacts,
    user: UserId,
    run: RunRef,
    by: Actor,
) -> Result<(), Refusal> {
    let (db, artifacts) = (db.clone(), artifacts.clone());
    let deleting = async move {
        // A finished run stays finished: only another delete can come in between.
        let status = get::status(&db, user, run).await?;
        if !status.is_over() {
            return Err(Refusal::RunNotFinished(status));
        }
        artifacts.delete_all(run.run).await?;
        // A run may have many events.
        delete_rows(&db.patient(), user, run.run, by).await?;
        tracing::info!(run_id = %run.run, "run deleted");
        Ok(())
    };
    tokio::spawn(deleting.in_current_span()).await.map_err(|error| Refusal::fault(&error))?
}

async fn delete_rows(db: &Db, user: UserId, run: RunId, by: Actor) -> Result<(), DbError> {
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let mut deleted = 0;
                for sql in LOCK.into_iter().chain(DELETE) {
                    deleted = statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(conn).await?;
                }
                if deleted == 1 {
                    audit::record(conn, user, by, Action::RunDeleted, &run.to_string()).await?;
                }
                Ok::<_, DbError>(())
            })
            .await
    })
    .await
}
