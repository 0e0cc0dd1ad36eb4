//! Claims and takeovers whose answer was lost. The database may have given this worker runs of which it knows
//! only the claim's id. Their leases would expire and count as losses of runs that did nothing wrong. So the
//! worker gives them back.

use std::sync::Arc;
use std::time::Duration;

use shared::db::DbError;
use shared::queue::Broadcast;
use tokio::time::Instant;
use uuid::Uuid;

use super::LeaseContext;
use super::store::give_claim_back;

/// Between two tries. The statement of the claim may still be executed.
const PAUSE: Duration = Duration::from_secs(1);

/// Call it when a claim or takeover failed. Starts a task that gives its runs back, if the statement may have
/// been executed.
pub fn give_back_later(context: &Arc<LeaseContext>, claim: Uuid, error: &DbError) {
    if !is_in_doubt(error) {
        return;
    }
    metrics::counter!("capi_claims_in_doubt_total").increment(1);
    tracing::warn!(%error, %claim, "lost the answer of a claim; giving back what it may have claimed");
    context.lifecycle.spawn(give_back(Arc::clone(context), claim));
}

/// An error of the statement itself that passes, like a deadlock, means that PostgreSQL rolled it back.
fn is_in_doubt(error: &DbError) -> bool {
    let was_rolled_back = error.is_outage() && !error.is_away();
    !error.was_not_sent() && !was_rolled_back
}

/// Tries until there are runs to give back. Ends after a lease time: the leases have expired then. In a
/// stopping process it tries once more.
async fn give_back(context: Arc<LeaseContext>, claim: Uuid) {
    let (until, worker) = (Instant::now() + context.config.lease(), context.claimant.worker.as_str());
    let stopping = context.lifecycle.stopping();
    loop {
        let is_last = stopping.is_cancelled() || Instant::now() >= until;
        let giving =
            context.db.write(|mut conn| async move { give_claim_back(&mut conn, worker, claim).await });
        match giving.await {
            Ok(runs) if !runs.is_empty() => {
                for run in runs {
                    tracing::info!(run_id = %run, %claim, "gave back a run whose claim was in doubt");
                    context.publisher.broadcast(Broadcast::LeaseReleased(run));
                }
                return;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, %claim, "failed to give back what a claim may hold"),
        }
        if is_last {
            return;
        }
        tokio::select! { () = tokio::time::sleep(PAUSE) => {}, () = stopping.cancelled() => {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_without_an_answer_is_in_doubt() {
        assert!(is_in_doubt(&DbError::Timeout));
        assert!(is_in_doubt(&DbError::Query(diesel::result::Error::NotFound)), "the answer was not read");
        assert!(!is_in_doubt(&DbError::QueueFull));
    }
}
