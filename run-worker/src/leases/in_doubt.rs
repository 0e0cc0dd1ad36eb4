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

/// Tries until there are runs to give back. Ends a lease time after the first answer: the leases have expired
/// then. Before, the commit of the claim may hang (a standby is away), and show its runs later. In a stopping
/// process it tries once more.
async fn give_back(context: Arc<LeaseContext>, claim: Uuid) {
    let (worker, stopping) = (context.claimant.worker.as_str(), context.lifecycle.stopping());
    let mut until = None;
    loop {
        let is_stopping = stopping.is_cancelled();
        let giving =
            context.db.write(|mut conn| async move { give_claim_back(&mut conn, worker, claim).await });
        let given = giving.await;
        let has_answered = !given.as_ref().is_err_and(DbError::is_outage);
        let is_last =
            is_stopping || is_over(&mut until, has_answered, Instant::now(), context.config.lease());
        match given {
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

/// Whether a lease time has passed since the database first answered.
fn is_over(until: &mut Option<Instant>, has_answered: bool, now: Instant, lease: Duration) -> bool {
    has_answered && now >= *until.get_or_insert(now + lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_without_an_answer_does_not_count() {
        let (start, second, lease) = (Instant::now(), Duration::from_secs(1), Duration::from_secs(30));
        let mut until = None;
        let mut is_over =
            |at: u32, has_answered| is_over(&mut until, has_answered, start + second * at, lease);
        assert!(!is_over(100, false), "it never answered");
        assert!(!is_over(101, true));
        assert!(!is_over(130, true));
        assert!(!is_over(135, false), "it may show the runs of a commit that hung");
        assert!(is_over(136, true));
    }

    #[test]
    fn a_claim_without_an_answer_is_in_doubt() {
        assert!(is_in_doubt(&DbError::Timeout));
        assert!(is_in_doubt(&DbError::Query(diesel::result::Error::NotFound)), "the answer was not read");
        assert!(!is_in_doubt(&DbError::QueueFull));
    }
}
