//! Runs that this worker cannot execute and another one may: their model or search provider is missing in its
//! files, while an operator replaces the files on one worker after the other.
//!
//! Such a run is given back, and may be taken over a moment later. The worker that gave it back ignores the
//! broadcast about it, so the others come first. The run fails once it has waited for a whole rollout.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::RunId;
use shared::queue::Broadcast;
use shared::runs::Fence;
use tokio::time::Instant;

use super::LeaseContext;
use super::release::ReleaseReason;
use super::store;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Each pause is one event in the log of the run.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A run fails only after so many attempts too: time alone may be a jump of the database's clock.
const FEWEST_ATTEMPTS: i64 = 3;
/// How long the worker ignores broadcasts about a run that it gave back.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The runs that this worker gave back.
#[derive(Default)]
pub struct Elsewhere(Mutex<HashMap<RunId, Instant>>);

impl Elsewhere {
    fn add(&self, run: RunId) {
        let mut given_back = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given_back.retain(|_, at| at.elapsed() < REMEMBERED);
        given_back.insert(run, Instant::now());
    }

    /// Whether this worker gave the run back because it cannot execute it.
    #[must_use]
    pub fn has(&self, run: RunId) -> bool {
        let given_back = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given_back.get(&run).is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

/// How often and how long workers have given the run back in a row.
#[derive(Debug, Clone, Copy, PartialEq, QueryableByName)]
pub struct Waited {
    /// The attempts, this one included.
    #[diesel(sql_type = BigInt)]
    pub attempts: i64,
    /// The time since the first of them.
    #[diesel(sql_type = Double)]
    pub seconds: f64,
}

/// The attempts since the last event that another attempt recorded.
const WAITED: &str = "
SELECT count(*) AS attempts,
    coalesce(extract(epoch FROM capi_now() - min(e.at)), 0)::double precision AS seconds
FROM run_events e
WHERE e.run_id = $1 AND e.seq > (
    SELECT max(d.seq) FROM run_events d
    WHERE d.run_id = $1 AND d.type NOT IN ('run.started', 'run.taken_over'))";

pub async fn waited(conn: &mut Connection, run: RunId) -> Result<Waited, DbError> {
    Ok(statement(WAITED).bind::<SqlUuid, _>(run.uuid()).get_result(conn).await?)
}

/// The pause until the next attempt, or none if the run waited for the whole rollout.
#[must_use]
pub fn pause(waited: Waited, rollout: Duration) -> Option<Duration> {
    let is_over = waited.attempts >= FEWEST_ATTEMPTS && waited.seconds >= rollout.as_secs_f64();
    if is_over || rollout.is_zero() {
        return None;
    }
    let doublings = u32::try_from(waited.attempts - 1).unwrap_or(0).min(8);
    Some((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE))
}

/// Gives the run back, without a loss. Another worker may take it over after the pause. Returns a reason if
/// this worker no longer held it.
pub async fn give_back_after(context: &LeaseContext, fence: Fence, pause: Duration) -> Option<ReleaseReason> {
    match context
        .db
        .write(|mut conn| async move { store::give_back_after(&mut conn, fence, pause).await })
        .await
    {
        Ok(true) => {
            metrics::counter!("capi_runs_sent_elsewhere_total").increment(1);
            context.elsewhere.add(fence.run);
            let (publisher, stopping) = (context.publisher.clone(), context.lifecycle.stopping().clone());
            context.lifecycle.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stopping.cancelled() => {}
                }
                publisher.broadcast(Broadcast::LeaseReleased(fence.run));
            });
            None
        }
        Ok(false) => Some(ReleaseReason::StaleWrite),
        Err(error) => {
            tracing::warn!(%error, "failed to give the run back; its lease will expire");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_the_rollout_is_over() {
        let rollout = Duration::from_mins(5);
        let after =
            |attempts, seconds| pause(Waited { attempts, seconds }, rollout).map(|pause| pause.as_secs());
        assert_eq!([1, 2, 3, 4, 5, 60].map(|attempts| after(attempts, 1.0)), [1, 2, 4, 8, 15, 15].map(Some));
        assert_eq!(after(20, 299.0), Some(15));
        assert_eq!(after(20, 300.0), None);
        assert_eq!(after(2, 7200.0), Some(2), "the clock may have jumped");
        let now = Waited { attempts: 1, seconds: 0.0 };
        assert_eq!(pause(now, Duration::ZERO), None, "the operator wants no wait");
    }
}
