//! One run, top to bottom: hold the lease, do the work, record the end. Everything that can go wrong is one of
//! three things: the run ends with an error code, the run is given back, or the run is lost and nothing is written.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::RunId;
use shared::queue::Work;
use shared::runs::{Ended, ErrorCode, Finished, RunError, finish};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::agent::{self, Stopped, Work as AgentWork};
use crate::claim::{Claimed, give_back};
use crate::context::Context;

/// Leases that may expire in a row, without a step recorded between, before a run is taken for poison.
const MAX_LOSSES: i32 = 3;
/// A stopping worker leaves a run this long to end by itself.
const LET_FINISH: Duration = Duration::from_secs(3);
const RETRY_WRITE: Duration = Duration::from_millis(500);

/// Starts executing a run that was claimed by a statement sent at `sent`. The permit is free again at the end.
pub fn spawn(context: &Arc<Context>, claimed: Claimed, sent: Instant, permit: OwnedSemaphorePermit) {
    let lost = context.leases.hold(claimed.fence(), sent);
    let span = tracing::info_span!("run", run_id = %claimed.id, attempt = claimed.attempt);
    let context_of_task = Arc::clone(context);
    let task = async move {
        execute(&context_of_task, &claimed, lost).await;
        context_of_task.leases.release(claimed.fence());
        drop(permit);
    };
    context.lifecycle.spawn(task.instrument(span));
}

async fn execute(context: &Arc<Context>, claimed: &Claimed, lost: CancellationToken) {
    let started = Instant::now();
    let stop_soon = async {
        context.lifecycle.stopping().cancelled().await;
        tokio::time::sleep(LET_FINISH).await;
    };
    tokio::select! {
        biased;
        () = lost.cancelled() => {
            tracing::warn!("the run is no longer this worker's; nothing more is written");
            return;
        }
        outcome = end_of(context, claimed) => {
            if outcome == Outcome::Fenced {
                metrics::counter!("capi_writes_fenced_total").increment(1);
                tracing::warn!("a write was refused: the run is no longer this worker's");
            }
        }
        () = stop_soon => hand_over(context, claimed.fence()).await,
    }
    metrics::histogram!("capi_run_attempt_seconds").record(started.elapsed().as_secs_f64());
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Recorded,
    Fenced,
}

/// Works the run to its end and records that.
async fn end_of(context: &Context, claimed: &Claimed) -> Outcome {
    let work = if claimed.losses >= MAX_LOSSES {
        let message = format!("{} workers in a row went silent over this run", claimed.losses);
        AgentWork::failed(RunError::new(ErrorCode::WorkerLost, &message, None))
    } else {
        match agent::work(context, claimed).await {
            Ok(work) => work,
            Err(Stopped::Fenced) => return Outcome::Fenced,
        }
    };
    record(context, claimed, &work).await
}

/// Tries until the database takes it; the lease, which ends this task, is the bound.
async fn record(context: &Context, claimed: &Claimed, work: &AgentWork) -> Outcome {
    loop {
        let writing = async {
            let mut conn = context.db.get().await?;
            finish(&mut conn, claimed.fence(), &work.last_events, &work.ended, work.usage).await
        };
        match writing.await {
            Ok(Finished::Fenced) => return Outcome::Fenced,
            Ok(Finished::Done { user, lane }) => {
                if let Some(lane) = lane {
                    context.publisher.nudge(Work::Deliveries, lane.uuid());
                }
                context.publisher.nudge(Work::Runs, user.uuid());
                announce(&work.ended);
                return Outcome::Recorded;
            }
            Err(error) => {
                tracing::warn!(%error, "the end of the run is not recorded yet");
                tokio::time::sleep(RETRY_WRITE).await;
            }
        }
    }
}

fn announce(ended: &Ended) {
    let (status, code) = match ended {
        Ended::Completed(_) => ("completed", ""),
        Ended::Failed(error, _) => ("failed", error.code.as_str()),
    };
    metrics::counter!("capi_runs_ended_total", "status" => status, "code" => code).increment(1);
    tracing::info!(status, code, "run ended");
}

async fn hand_over(context: &Context, fence: (RunId, i32)) {
    let giving = async {
        let mut conn = context.db.get().await?;
        give_back(&mut conn, fence).await
    };
    match giving.await {
        Ok(given) => tracing::info!(given, "run given back"),
        Err(error) => tracing::warn!(%error, "run not given back; its lease will expire"),
    }
}
