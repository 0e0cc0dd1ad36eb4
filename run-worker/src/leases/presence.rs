//! Reports that this worker takes runs. A gateway reads the reports when a client asks why a run is pending.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::BrokerHealth;
use shared::runs::WORKERS_REPORT_WITHIN;

use super::LeaseContext;

/// How often a worker that cannot receive nudges checks whether it can.
const HEALTH_POLL: Duration = Duration::from_millis(100);
/// The pause after a report that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stopping worker may take to delete its report.
const DELETE_LIMIT: Duration = Duration::from_secs(2);

/// Also deletes the reports of workers that died long ago. There are few, so this needs no index.
const REPORT: &str = "
WITH forgotten AS (DELETE FROM workers WHERE reported_at < capi_now() - interval '1 hour' AND id <> $1)
INSERT INTO workers (id, reported_at) VALUES ($1, capi_now())
ON CONFLICT (id) DO UPDATE SET reported_at = EXCLUDED.reported_at";

const DELETE: &str = "DELETE FROM workers WHERE id = $1";

async fn execute(conn: &mut Connection, sql: &'static str, worker: &str) -> Result<(), DbError> {
    statement(sql).bind::<Text, _>(worker).execute(conn).await?;
    Ok(())
}

/// Reports three times per [`WORKERS_REPORT_WITHIN`] while the worker can receive nudges. Deletes the report
/// when the worker stops.
pub async fn run(context: Arc<LeaseContext>, consuming: BrokerHealth) {
    let (db, worker) = (&context.db, context.claimant.worker.as_str());
    let stopping = context.lifecycle.stopping();
    // Only the pause is cut short: a report in flight could arrive after the delete.
    while !stopping.is_cancelled() {
        let pause = if !consuming.is_up() {
            HEALTH_POLL
        } else if let Err(error) =
            db.write(|mut conn| async move { execute(&mut conn, REPORT, worker).await }).await
        {
            tracing::warn!(%error, worker, "failed to report that the worker takes runs");
            RETRY
        } else {
            WORKERS_REPORT_WITHIN / 3
        };
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = stopping.cancelled() => {} }
    }
    let deleting = db.write(|mut conn| async move { execute(&mut conn, DELETE, worker).await });
    if !matches!(tokio::time::timeout(DELETE_LIMIT, deleting).await, Ok(Ok(()))) {
        tracing::warn!(worker, "failed to delete the worker's report; it expires");
    }
}
