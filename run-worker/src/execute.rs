//! One run, top to bottom: hold the lease, do the work, record the end. There are three outcomes. The run
//! ends with a result or an error code, or the worker gives it back, or the worker lost it and writes nothing
//! more to it.
//!
//! Read `agent` for the work. Then read shared/src/runs/finish.rs, which writes the end and the webhook
//! delivery, and webhook-dispatcher/src/consumer.rs, which claims the delivery.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use shared::db::DbError;
use shared::queue::{Broadcast, WorkQueue};
use shared::runs::{End, ErrorCode, Finished, RunEnd, RunError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;

use crate::agent::{self, AgentOutcome, Stopped};
use crate::context::Context;
use crate::leases::elsewhere::give_back_after;
use crate::leases::held::{Lease, Lost};
use crate::leases::isolation::MAX_LOSSES;
use crate::leases::release::{ReleaseReason, give_back, record_release};
use crate::leases::store::Claimed;
use crate::retry_on_outage::retry_call;
use crate::workspace::WorkspaceSlot;

/// How long a stopping worker lets a run continue.
const STOPPING_GRACE: Duration = Duration::from_secs(3);
/// How long to wait for the reply to a finish that was sent.
const FINISH_REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Starts executing a run that was claimed by a statement sent at `sent`. The permit and the lease are
/// dropped at the end, even if the task panics.
pub fn spawn(context: &Arc<Context>, claimed: Claimed, sent: Instant, permit: OwnedSemaphorePermit) {
    let lease = context.leases.held.hold(claimed.fence(), sent);
    let span = tracing::error_span!(
        "run", run_id = %claimed.id, attempt = claimed.attempt, user_id = %claimed.user_id,
        request_id = claimed.request_id,
    );
    let task_context = Arc::clone(context);
    let task = async move {
        let release = execute(&task_context, &claimed, &lease).await;
        drop(lease);
        drop(permit);
        if claimed.losses > 0 {
            task_context.leases.cleared(claimed.fence());
        }
        // A cancelled run has no other attempt that could need its snapshots.
        if let Some(reason) = release
            && record_release(&task_context.leases, claimed.fence(), reason).await
        {
            agent::delete_snapshots(&task_context, claimed.id).await;
        }
    };
    context.lifecycle.spawn(task.instrument(span));
}

/// How far the work on a run is.
struct Progress {
    /// The number of the last recorded event.
    last_seq: AtomicI64,
    /// The run's end is being recorded.
    finishing: AtomicBool,
}

enum First {
    Ended(Recorded),
    Lost(Lost),
    Stopping,
}

async fn execute(context: &Arc<Context>, claimed: &Claimed, lease: &Lease) -> Option<ReleaseReason> {
    context.leases.tell_streams(claimed.id);
    let started = Instant::now();
    let stop_soon = async {
        context.lifecycle.stopping().cancelled().await;
        tokio::time::sleep(STOPPING_GRACE).await;
    };
    let progress = Progress { last_seq: AtomicI64::new(claimed.last_seq), finishing: AtomicBool::new(false) };
    let slot = WorkspaceSlot::new();
    let mut work = Box::pin(work_and_record(context, claimed, &progress, &slot));
    let mut first = tokio::select! {
        biased;
        recorded = &mut work => First::Ended(recorded),
        why = lease.lost() => First::Lost(why),
        () = stop_soon => First::Stopping,
    };
    // The heartbeat may see our own finish before we get its reply, so wait briefly for that reply. A
    // stopping worker waits for it too.
    if matches!(first, First::Lost(Lost::Rejected) | First::Stopping)
        && progress.finishing.load(Ordering::Relaxed)
        && let Ok(recorded) = tokio::time::timeout(FINISH_REPLY_LIMIT, &mut work).await
    {
        first = First::Ended(recorded);
    }
    // Closes the model's stream and ends the tools and their processes.
    drop(work);
    let had_files = slot.get().is_some();
    agent::close(slot).await;
    metrics::histogram!("capi_run_attempt_duration_seconds").record(started.elapsed().as_secs_f64());
    match first {
        First::Ended(Recorded::Yes) => {
            if had_files || claimed.attempt > 1 {
                agent::delete_snapshots(context, claimed.id).await;
            }
            None
        }
        // If only a reply was lost, this worker still holds the run. Giving it back lets another worker
        // continue.
        First::Ended(Recorded::Stale) | First::Stopping => give_back(&context.leases, claimed.fence()).await,
        First::Ended(Recorded::No(error)) => {
            metrics::counter!("capi_run_finish_failures_total").increment(1);
            tracing::error!(%error, "failed to record the end of the run; its lease will expire");
            None
        }
        First::Ended(Recorded::Elsewhere(pause)) => {
            give_back_after(&context.leases, claimed.fence(), pause).await
        }
        First::Lost(why) => Some(ReleaseReason::Lost(why)),
    }
}

/// Whether the end of the run was recorded.
enum Recorded {
    Yes,
    /// The fence rejected the write.
    Stale,
    /// The database was down or stuck for a lease time, or it rejects even an end without a result. The lease
    /// expires and another worker tries.
    No(DbError),
    /// There is no end: another worker continues after the pause.
    Elsewhere(Duration),
}

async fn work_and_record(
    context: &Context,
    claimed: &Claimed,
    progress: &Progress,
    slot: &WorkspaceSlot,
) -> Recorded {
    let outcome = match work(context, claimed, slot, &progress.last_seq).await {
        Ok(outcome) => outcome,
        Err(recorded) => return recorded,
    };
    progress.finishing.store(true, Ordering::Relaxed);
    let after = progress.last_seq.load(Ordering::Relaxed);
    match record(context, claimed, after, outcome).await {
        // The database most likely rejects what the run produced, so record the end without it.
        Recorded::No(error) if !error.is_outage() => {
            tracing::error!(%error, "failed to record the end of the run; recording it without a result");
            let message = "the result of the run could not be recorded";
            let plain = AgentOutcome::failed(RunError::new(ErrorCode::InternalError, message, None));
            record(context, claimed, after, plain).await
        }
        recorded => recorded,
    }
}

/// Returns the run's end, or why there is none to record.
async fn work(
    context: &Context,
    claimed: &Claimed,
    slot: &WorkspaceSlot,
    last_seq: &AtomicI64,
) -> Result<AgentOutcome, Recorded> {
    if claimed.losses >= MAX_LOSSES {
        let message = format!("{} leases in a row expired without a new recorded step", claimed.losses);
        return Ok(lost(RunError::new(ErrorCode::WorkerLost, &message, None)));
    }
    // A panic is a fault of the worker. The run must still end.
    match AssertUnwindSafe(agent::work(context, claimed, slot, last_seq)).catch_unwind().await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(Stopped::Fenced)) => Err(Recorded::Stale),
        Ok(Err(Stopped::Database(error))) if error.is_outage() => Err(Recorded::No(error)),
        Ok(Err(Stopped::Database(error))) => Ok(fault(&error.to_string(), "a step could not be recorded")),
        Ok(Err(Stopped::Elsewhere { pause })) => Err(Recorded::Elsewhere(pause)),
        Ok(Err(Stopped::Unreadable { seq })) => {
            Ok(fault(&format!("event {seq}"), "the run's log cannot be read"))
        }
        Err(_) => {
            metrics::counter!("capi_run_panics_total").increment(1);
            Ok(fault("panic", "the worker's code failed"))
        }
    }
}

fn fault(cause: &str, message: &str) -> AgentOutcome {
    tracing::error!(cause, "the run fails with internal_error: {message}");
    lost(RunError::new(ErrorCode::InternalError, message, None))
}

fn lost(error: RunError) -> AgentOutcome {
    AgentOutcome { last_events: Vec::new(), end: RunEnd::Lost(error) }
}

async fn record(context: &Context, claimed: &Claimed, after: i64, outcome: AgentOutcome) -> Recorded {
    let AgentOutcome { last_events, end } = outcome;
    let quotas = context.plans.quotas(&claimed.plan);
    let end = Arc::new(End { fence: claimed.fence(), after, last_events, end, quotas });
    let tries = AtomicU32::new(0);
    let finish = || {
        tries.fetch_add(1, Ordering::Relaxed);
        context.ends.call(Arc::clone(&end))
    };
    match retry_call(context.lease, "record the end of the run", finish).await {
        Ok(Finished::Fenced) => {
            // An earlier try may have ended the run, and given its place free. Only its answer was lost.
            if tries.load(Ordering::Relaxed) > 1 {
                context.publisher.nudge(WorkQueue::Runs, claimed.user_id.uuid());
            }
            Recorded::Stale
        }
        Ok(Finished::Done { user, lane, startable }) => {
            if let Some(lane) = lane {
                context.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
            }
            if startable > 0 {
                context.publisher.nudge_times(WorkQueue::Runs, user.uuid(), startable);
            }
            context.publisher.broadcast(Broadcast::RunChanged(claimed.id));
            count_end(&end.end);
            Recorded::Yes
        }
        Err(error) => Recorded::No(error),
    }
}

fn count_end(end: &RunEnd) {
    let (status, code) = match end {
        RunEnd::Completed(_) => ("completed", ""),
        RunEnd::Failed(error, _) | RunEnd::Lost(error) => ("failed", error.code.as_str()),
    };
    metrics::counter!("capi_runs_ended_total", "status" => status, "code" => code).increment(1);
    tracing::info!(status, code, "run ended");
}
