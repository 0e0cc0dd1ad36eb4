//! Cancelling a run: final at once, even if a worker still works on it.

use shared::db::Db;
use shared::ids::UserId;
use shared::queue::{Broadcast, Publisher, WorkQueue};
use shared::runs::{Cancelled, RunStatus};
use tracing::Instrument as _;

use super::RunRef;
use crate::Refusal;

/// Cancels the run, then tells its worker, the watchers of the run and the dispatcher. A cancelled run stays
/// cancelled without an error.
///
/// The work is a task of its own: a client that disconnects must not keep the messages from being sent.
pub async fn cancel(db: &Db, publisher: &Publisher, user: UserId, run: RunRef) -> Result<(), Refusal> {
    let (db, publisher) = (db.clone(), publisher.clone());
    let cancelling =
        tokio::spawn(async move { cancel_and_notify(&db, &publisher, user, run).await }.in_current_span());
    match cancelling.await.map_err(|error| Refusal::fault(&error))?? {
        Cancelled::Done { .. } | Cancelled::Over(RunStatus::Cancelled) => Ok(()),
        Cancelled::Over(status) if status.is_over() => Err(Refusal::RunAlreadyFinished(status)),
        Cancelled::Over(_) => Err(Refusal::Unavailable("the run is being changed; try again")),
        Cancelled::Unknown => Err(Refusal::NotFound("run")),
    }
}

async fn cancel_and_notify(
    db: &Db,
    publisher: &Publisher,
    user: UserId,
    run: RunRef,
) -> Result<Cancelled, Refusal> {
    let write =
        || db.write(|mut conn| async move { shared::runs::cancel(&mut conn, user, run.app, run.run).await });
    let cancelled = match write().await {
        // A gateway of the former version, which cancels in a transaction, may be suspended in it. PostgreSQL
        // ends its session shortly after our lock timeout.
        Err(error) if error.is_lock_timeout() => write().await?,
        answered => answered?,
    };
    if let Cancelled::Done { lane, held, startable } = cancelled {
        if held {
            publisher.broadcast(Broadcast::RunCancelled(run.run));
        }
        if let Some(lane) = lane {
            publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        }
        if startable > 0 {
            publisher.nudge_times(WorkQueue::Runs, user.uuid(), startable);
        }
        publisher.broadcast(Broadcast::RunChanged(run.run));
        metrics::counter!("capi_runs_ended_total", "status" => "cancelled", "code" => "").increment(1);
        tracing::info!(run_id = %run.run, "run cancelled");
    }
    Ok(cancelled)
}
