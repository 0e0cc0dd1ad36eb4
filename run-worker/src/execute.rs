//! One run, top to bottom: hold the lease, do the work, record the end. Everything that can go wrong is one of
//! three things: the run ends with an error code, the run is given back, or the run is lost and nothing is written.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use shared::db::DbError;
use shared::queue::{Broadcast, WorkQueue};
use shared::runs::{Ended, ErrorCode, Finished, RunError, finish};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;

use crate::agent::{self, Desk, Stopped, Work as AgentWork};
use crate::claim::Claimed;
use crate::context::Context;
use crate::leases::{Lease, Lost};
use crate::letting_go::{LetGo, hand_over, tell_why};
use crate::retry_on_outage::retry_on_outage;

/// Leases that may expire in a row, without a step recorded between, before a run is taken for poison.
const MAX_LOSSES: i32 = 3;
/// A stopping worker leaves a run this long to end by itself.
const LET_FINISH: Duration = Duration::from_secs(3);
/// For the answer of an end that has most likely been recorded.
const OWN_END: Duration = Duration::from_secs(2);

/// Starts executing a run that was claimed by a statement sent at `sent`. The permit is free again at the end, and
/// the lease let go, even if the task panics.
pub fn spawn(context: &Arc<Context>, claimed: Claimed, sent: Instant, permit: OwnedSemaphorePermit) {
    let lease = context.leases.hold(claimed.fence(), sent);
    let span = tracing::info_span!(
        "run", run_id = %claimed.id, attempt = claimed.attempt, user_id = %claimed.user_id,
        request_id = claimed.request_id,
    );
    let context_of_task = Arc::clone(context);
    let task = async move {
        let let_go = execute(&context_of_task, &claimed, &lease).await;
        drop(lease);
        drop(permit);
        if let Some(why) = let_go {
            tell_why(&context_of_task, claimed.fence(), why).await;
        }
    };
    context.lifecycle.spawn(task.instrument(span));
}

/// What happened first.
enum First {
    Ended(Outcome),
    Lost(Lost),
    Stopping,
}

async fn execute(context: &Arc<Context>, claimed: &Claimed, lease: &Lease) -> Option<LetGo> {
    let started = Instant::now();
    let stop_soon = async {
        context.lifecycle.stopping().cancelled().await;
        tokio::time::sleep(LET_FINISH).await;
    };
    let (recording, desk) = (AtomicBool::new(false), Desk::new());
    let mut work = Box::pin(end_of(context, claimed, &recording, &desk));
    let mut first = tokio::select! {
        biased;
        outcome = &mut work => First::Ended(outcome),
        why = lease.lost() => First::Lost(why),
        () = stop_soon => First::Stopping,
    };
    // A renewal right behind the end's own statement finds the run over: the end's answer is on its way. Nor does a worker that
    // stops break off an end that is being recorded.
    if matches!(first, First::Lost(Lost::Refused) | First::Stopping)
        && recording.load(Ordering::Relaxed)
        && let Ok(outcome) = tokio::time::timeout(OWN_END, &mut work).await
    {
        first = First::Ended(outcome);
    }
    // With it go the model's stream and the tools, and the processes of those.
    drop(work);
    let had_files = desk.get().is_some();
    agent::close(desk).await;
    metrics::histogram!("capi_run_attempt_seconds").record(started.elapsed().as_secs_f64());
    match first {
        First::Ended(Outcome::Recorded) => {
            if had_files || claimed.attempt > 1 {
                agent::forget_snapshots(context, claimed.id).await;
            }
            None
        }
        // It may be ours still, where an answer got lost: then another worker goes on, without a loss.
        First::Ended(Outcome::Fenced) | First::Stopping => hand_over(context, claimed.fence()).await,
        First::Ended(Outcome::Unrecorded(error)) => {
            metrics::counter!("capi_run_ends_unrecorded_total").increment(1);
            tracing::error!(%error, "the run's end cannot be recorded; its lease will expire");
            None
        }
        First::Lost(why) => Some(LetGo::Lost(why)),
    }
}

/// What became of the end.
enum Outcome {
    Recorded,
    Fenced,
    /// PostgreSQL was away or stuck for a lease time, or takes not even the plainest end: the lease expires, and
    /// another worker tries.
    Unrecorded(DbError),
}

/// Works the run to its end and records that.
async fn end_of(context: &Context, claimed: &Claimed, recording: &AtomicBool, desk: &Desk) -> Outcome {
    let work = if claimed.losses >= MAX_LOSSES {
        let message = format!("{} workers in a row went silent over this run", claimed.losses);
        let error = RunError::new(ErrorCode::WorkerLost, &message, None);
        AgentWork { last_events: Vec::new(), ended: Ended::Lost(error) }
    } else {
        // A panic is a fault of ours: it must not take the run's end with it.
        match AssertUnwindSafe(agent::work(context, claimed, desk)).catch_unwind().await {
            Ok(Ok(work)) => work,
            Ok(Err(Stopped::Fenced)) => return Outcome::Fenced,
            Ok(Err(Stopped::Database(error))) if error.is_outage() => return Outcome::Unrecorded(error),
            Ok(Err(Stopped::Database(error))) => fault(&error.to_string(), "a step could not be recorded"),
            Ok(Err(Stopped::UnreadableLog(error))) => {
                fault(&error.to_string(), "the run's log cannot be read")
            }
            Err(_) => {
                metrics::counter!("capi_run_panics_total").increment(1);
                fault("panic", "the worker's code failed")
            }
        }
    };
    recording.store(true, Ordering::Relaxed);
    match record(context, claimed, &work).await {
        // What the database refuses is most likely in what the run produced: end it without.
        Outcome::Unrecorded(error) if !error.is_outage() => {
            tracing::error!(%error, "the run's end is recorded without what it brought forth");
            let message = "the run's end could not be recorded as it was";
            let plain = AgentWork::failed(RunError::new(ErrorCode::InternalError, message, None));
            record(context, claimed, &plain).await
        }
        outcome => outcome,
    }
}

fn fault(cause: &str, message: &str) -> AgentWork {
    tracing::error!(cause, "the run fails by a fault of capi");
    AgentWork {
        last_events: Vec::new(),
        ended: Ended::Lost(RunError::new(ErrorCode::InternalError, message, None)),
    }
}

async fn record(context: &Context, claimed: &Claimed, work: &AgentWork) -> Outcome {
    let finishing = retry_on_outage(context, "to record the end", |mut conn| async move {
        finish(&mut conn, claimed.fence(), &work.last_events, &work.ended).await
    });
    match finishing.await {
        Ok(Finished::Fenced) => Outcome::Fenced,
        Ok(Finished::Done { user, lane }) => {
            if let Some(lane) = lane {
                context.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
            }
            context.publisher.nudge(WorkQueue::Runs, user.uuid());
            context.publisher.broadcast(Broadcast::RunChanged(claimed.id));
            announce(&work.ended);
            Outcome::Recorded
        }
        Err(error) => Outcome::Unrecorded(error),
    }
}

fn announce(ended: &Ended) {
    let (status, code) = match ended {
        Ended::Completed(_) => ("completed", ""),
        Ended::Failed(error, _) | Ended::Lost(error) => ("failed", error.code.as_str()),
    };
    metrics::counter!("capi_runs_ended_total", "status" => status, "code" => code).increment(1);
    tracing::info!(status, code, "run ended");
}
