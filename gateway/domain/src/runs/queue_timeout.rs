//! Fails pending runs that no worker started within their `queueTimeoutSeconds`. The gateway does this
//! because a lack of workers is the usual reason that a run waits.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Publisher, WorkQueue};
use shared::runs::{ErrorCode, Finished, expire};

const INTERVAL: Duration = Duration::from_secs(1);
/// Runs that one poll fails. A full batch is followed by another poll at once.
const BATCH: i64 = 200;

/// The time is a sub-select: an index condition cannot be volatile, so every pending run would be read.
/// Gateways that poll at the same time find the same runs; each run is failed once.
const OVERDUE: &str = "
SELECT id FROM runs
WHERE status = 'pending'
  AND (created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s'
      <= (SELECT capi_now() AT TIME ZONE 'UTC')
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

/// Polls until the process stops.
pub async fn sweep(db: Db, publisher: Publisher, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        while let Ok(true) = fail_overdue(&db, &publisher).await.inspect_err(|error| {
            tracing::warn!(%error, "failed to find overdue runs");
        }) {
            if lifecycle.stopping().is_cancelled() {
                return;
            }
        }
    }
}

/// Fails one batch. Returns whether more may be overdue. A run that cannot be failed does not stop the
/// others.
async fn fail_overdue(db: &Db, publisher: &Publisher) -> Result<bool, DbError> {
    let found = db.read(|mut conn| async move { overdue(&mut conn).await }).await?;
    let mut failed = 0;
    for run in &found {
        match db.write(|mut conn| async move { expire(&mut conn, *run).await }).await {
            Ok(Finished::Done { lane, .. }) => {
                failed += 1;
                if let Some(lane) = lane {
                    publisher.nudge(WorkQueue::Deliveries, lane.uuid());
                }
                publisher.broadcast(Broadcast::RunChanged(*run));
                let code = ErrorCode::QueueTimeout.as_str();
                metrics::counter!("capi_runs_ended_total", "status" => "failed", "code" => code).increment(1);
                tracing::info!(run_id = %run, code, "run ended");
            }
            Ok(Finished::Fenced) => {}
            Err(error) if error.is_away() => return Err(error),
            Err(error) => tracing::error!(%error, run_id = %run, "failed to end an overdue run"),
        }
    }
    Ok(failed > 0 && i64::try_from(found.len()).is_ok_and(|found| found == BATCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::testing::{PlanLine, TestDatabase, plan_of};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_plan_does_not_read_runs_that_are_not_overdue() {
        let database = TestDatabase::create().await;
        let explain = format!("EXPLAIN {OVERDUE}");
        let mut conn = database.conn().await;
        statement("SET enable_seqscan = off").execute(&mut conn).await.unwrap();
        let plan: Vec<PlanLine> = statement(explain).bind::<BigInt, _>(BATCH).load(&mut conn).await.unwrap();
        let plan = plan_of(&plan);
        let condition =
            plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_else(|| panic!("{plan}"));
        assert!(condition.contains("queue_timeout_seconds"), "{plan}");
    }
}
