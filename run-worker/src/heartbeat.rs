//! Keeps the process's leases alive, and ends the work on those that are lost. The worker counts on its own
//! monotonic clock, from before a renewal was sent: a margin before the end of a lease that could not be renewed
//! it stops the run by itself, writes nothing, and forgets it. Another worker may hold it from then on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::ids::RunId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::renew;
use crate::context::Context;

/// How often the local clock is compared with the leases.
const WATCH: Duration = Duration::from_millis(250);
/// After a renewal that did not come about.
const RETRY: Duration = Duration::from_secs(1);

struct Held {
    attempt: i32,
    expires: Instant,
    lost: CancellationToken,
}

/// The runs that a process holds.
#[derive(Clone)]
pub struct Leases {
    config: LeaseConfig,
    held: Arc<Mutex<HashMap<RunId, Held>>>,
}

/// One held run. Dropping it lets the lease go: whatever becomes of the task, it is not renewed behind its back.
pub struct Lease {
    leases: Leases,
    fence: (RunId, i32),
    lost: CancellationToken,
}

impl Lease {
    /// Cancelled when the run is no longer this process's.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (run, attempt) = self.fence;
        let mut held = self.leases.lock();
        if held.get(&run).is_some_and(|lease| lease.attempt == attempt) {
            held.remove(&run);
        }
    }
}

impl Leases {
    /// None yet.
    #[must_use]
    pub fn new(config: LeaseConfig) -> Self {
        Self { config, held: Arc::default() }
    }

    /// Notes a lease that was taken by a statement sent at `sent`.
    #[must_use]
    pub fn hold(&self, fence: (RunId, i32), sent: Instant) -> Lease {
        let ((run, attempt), lost) = (fence, CancellationToken::new());
        let held = Held { attempt, expires: sent + self.config.lease(), lost: lost.clone() };
        if let Some(older) = self.lock().insert(run, held) {
            older.lost.cancel();
        }
        Lease { leases: self.clone(), fence, lost }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fences(&self) -> Vec<(RunId, i32)> {
        self.lock().iter().map(|(run, held)| (*run, held.attempt)).collect()
    }

    /// After a renewal of `asked`, sent at `sent`, that found only `kept`.
    fn renewed(&self, asked: &[(RunId, i32)], kept: &HashSet<RunId>, sent: Instant) {
        let mut held = self.lock();
        for (run, attempt) in asked {
            let Some(lease) = held.get_mut(run).filter(|lease| lease.attempt == *attempt) else {
                continue;
            };
            if kept.contains(run) {
                lease.expires = sent + self.config.lease();
            } else {
                lease.lost.cancel();
            }
        }
    }

    fn drop_expired(&self, now: Instant) {
        for (run, lease) in self.lock().iter() {
            if now + self.config.margin() >= lease.expires && !lease.lost.is_cancelled() {
                tracing::warn!(run_id = %run, "the lease could not be renewed in time; the run is let go");
                metrics::counter!("capi_leases_lost_total").increment(1);
                lease.lost.cancel();
            }
        }
    }
}

/// Renews until every task that could hold a run has ended.
pub async fn beat(context: Arc<Context>) {
    let watching = async {
        loop {
            tokio::time::sleep(WATCH).await;
            context.leases.drop_expired(Instant::now());
        }
    };
    let renewing = async {
        let mut ticks = tokio::time::interval(context.lease.heartbeat());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !renew_all(&context).await {
                ticks.reset_after(RETRY);
            }
        }
    };
    tokio::select! { () = watching => {}, () = renewing => {}, () = context.lifecycle.flushing().cancelled() => {} }
}

/// Whether nothing is left to renew until the next beat.
async fn renew_all(context: &Context) -> bool {
    let held = context.leases.fences();
    metrics::gauge!("capi_runs_held").set(u32::try_from(held.len()).unwrap_or(u32::MAX));
    if held.is_empty() {
        return true;
    }
    let sent = Instant::now();
    let (fences, lease) = (&held, context.lease.lease());
    let renewing = context.db.write(|mut conn| async move { renew(&mut conn, fences, lease).await });
    match tokio::time::timeout(context.lease.heartbeat(), renewing).await {
        Ok(Ok(kept)) => {
            context.leases.renewed(&held, &kept.into_iter().collect(), sent);
            return true;
        }
        Ok(Err(error)) => tracing::warn!(%error, runs = held.len(), "leases are not renewed"),
        Err(_) => tracing::warn!(runs = held.len(), "leases are not renewed in time"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_is_kept_by_renewals_alone_and_let_go_by_a_panic() {
        let config = LeaseConfig { lease_seconds: 30 };
        let (leases, run, start) = (Leases::new(config), RunId::generate(), Instant::now());
        let first = leases.hold((run, 1), start);
        leases.drop_expired(start + Duration::from_secs(24));
        assert!(!first.lost().is_cancelled());
        leases.renewed(&[(run, 1)], &HashSet::from([run]), start + Duration::from_secs(10));
        leases.drop_expired(start + Duration::from_secs(34));
        assert!(!first.lost().is_cancelled(), "counted from when the renewal was sent");
        leases.drop_expired(start + Duration::from_secs(35));
        assert!(first.lost().is_cancelled(), "a margin before its end");

        let second = leases.hold((run, 2), start);
        drop(first);
        assert_eq!(leases.fences(), [(run, 2)], "an older attempt's end is not the newer one's");
        leases.renewed(&[(run, 2)], &HashSet::new(), start);
        assert!(second.lost().is_cancelled(), "what is not renewed is lost");
        let panicking = tokio::spawn(async move {
            let _held = second;
            panic!("on purpose");
        });
        assert!(panicking.await.is_err() && leases.fences().is_empty());
    }
}
