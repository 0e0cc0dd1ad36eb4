//! Fails pending runs that no worker started within their `queueTimeoutSeconds`. The gateway does it, not the worker: it is the lack of
//! workers that makes runs wait.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Publisher, Work};
use shared::runs::{ErrorCode, Finished, expire};

const INTERVAL: Duration = Duration::from_secs(1);
/// Runs that one look fails; with more, the next look follows at once.
const BATCH: i64 = 200;

/// One gateway at a time looks. That two fail the same run is impossible anyway.
const OVERDUE: &str = "
WITH looking AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4706044) AS alone)
SELECT id FROM runs
WHERE (SELECT alone FROM looking) AND status = 'pending'
  AND (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s' <= capi_now() AT TIME ZONE 'UTC'
ORDER BY (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s' LIMIT $1";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
}

async fn overdue(conn: &mut Connection) -> Result<Vec<RunId>, DbError> {
    let rows: Vec<IdRow> = statement(OVERDUE).bind::<BigInt, _>(BATCH).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Until the process stops.
pub(crate) async fn sweep(db: Db, publisher: Publisher, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        while let Ok(true) = fail_overdue(&db, &publisher).await.inspect_err(|error| {
            tracing::warn!(%error, "overdue runs are not looked for");
        }) {
            if lifecycle.stopping().is_cancelled() {
                return;
            }
        }
    }
}

/// Whether there may be more.
async fn fail_overdue(db: &Db, publisher: &Publisher) -> Result<bool, DbError> {
    let found = db.read(|mut conn| async move { overdue(&mut conn).await }).await?;
    for run in &found {
        if let Finished::Done { lane, .. } =
            db.write(|mut conn| async move { expire(&mut conn, *run).await }).await?
        {
            if let Some(lane) = lane {
                publisher.nudge(Work::Deliveries, lane.uuid());
            }
            publisher.announce(*run);
            let code = ErrorCode::QueueTimeout.as_str();
            metrics::counter!("capi_runs_ended_total", "status" => "failed", "code" => code).increment(1);
            tracing::info!(run_id = %run, code, "run ended");
        }
    }
    Ok(i64::try_from(found.len()).is_ok_and(|found| found == BATCH))
}
