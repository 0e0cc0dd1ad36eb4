//! Deletes the deliveries of tests a day after they were asked for. Their result was the answer to a request,
//! so nothing reads them later.

use std::time::Duration;

use diesel::sql_types::{BigInt, Interval};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, interval, statement};
use shared::lifecycle::Lifecycle;

const KEPT: Duration = Duration::from_hours(24);
const EVERY: Duration = Duration::from_mins(10);
/// Rows that one statement deletes, so that it holds its locks shortly.
const BATCH: i64 = 1000;

/// The attempts go with their delivery.
const DELETE: &str = "
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE type = 'ping' AND created_at < (SELECT capi_now() - $1)
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Runs until the process stops.
pub async fn run(db: Db, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        let deleted = delete_batches(&db, &lifecycle).await;
        if let Err(error) = deleted {
            tracing::warn!(%error, "failed to delete old tests of webhooks");
        }
    }
}

async fn delete_batches(db: &Db, lifecycle: &Lifecycle) -> Result<(), DbError> {
    while delete_batch(db).await? == BATCH && !lifecycle.stopping().is_cancelled() {}
    Ok(())
}

/// Deletes one batch. Returns the number of deliveries.
pub async fn delete_batch(db: &Db) -> Result<i64, DbError> {
    let deleted = db.write(|mut conn| async move {
        let deleting = statement(DELETE).bind::<Interval, _>(interval(KEPT)).bind::<BigInt, _>(BATCH);
        Ok(deleting.execute(&mut conn).await?)
    });
    Ok(i64::try_from(deleted.await?).unwrap_or(i64::MAX))
}
