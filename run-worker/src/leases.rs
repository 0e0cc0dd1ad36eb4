//! The leases that this process holds. The worker counts on its own monotonic clock, from before a renewal was sent: a
//! margin before the end of a lease that could not be renewed it stops the run by itself, writes nothing, and forgets it.
//! Another worker may hold it from then on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use shared::config::LeaseConfig;
use shared::ids::RunId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Why a run is no longer this process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The row says so: it was cancelled, or another worker took it over.
    Refused,
    /// It could not be renewed in time.
    RanOut,
}

struct Held {
    attempt: i32,
    expires: Instant,
    lost: watch::Sender<Option<Lost>>,
}

impl Held {
    fn lose(&self, why: Lost) {
        self.lost.send_if_modified(|lost| lost.is_none() && lost.replace(why).is_none());
    }
}

/// The runs that a process holds.
#[derive(Clone)]
pub struct Leases {
    config: LeaseConfig,
    held: Arc<Mutex<HashMap<RunId, Held>>>,
    /// Held runs that somebody said were cancelled: the rows will tell.
    suspects: Arc<Mutex<HashSet<RunId>>>,
    suspected: Arc<Notify>,
}

/// One held run. Dropping it lets the lease go: whatever becomes of the task, it is not renewed behind its back.
pub struct Lease {
    leases: Leases,
    fence: (RunId, i32),
    lost: watch::Receiver<Option<Lost>>,
}

impl Lease {
    /// Returns once the run is no longer this process's.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        let why = lost.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        why.unwrap_or(Lost::Refused)
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
        Self { config, held: Arc::default(), suspects: Arc::default(), suspected: Arc::default() }
    }

    /// Notes a lease that was taken by a statement sent at `sent`.
    #[must_use]
    pub fn hold(&self, fence: (RunId, i32), sent: Instant) -> Lease {
        let ((run, attempt), (sender, lost)) = (fence, watch::channel(None));
        let held = Held { attempt, expires: sent + self.config.lease(), lost: sender };
        if let Some(older) = self.lock().insert(run, held) {
            older.lose(Lost::Refused);
        }
        Lease { leases: self.clone(), fence, lost }
    }

    /// Somebody says that this run was cancelled. It is only a word: the row is looked at.
    pub fn suspect(&self, run: RunId) {
        if self.lock().contains_key(&run) {
            self.suspects.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
            self.suspected.notify_one();
        }
    }

    /// News may have been missed: all rows are looked at.
    pub fn suspect_all(&self) {
        let all: Vec<_> = self.lock().keys().copied().collect();
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
        self.suspected.notify_one();
    }

    /// Waits until there are suspects, and takes them.
    pub(crate) async fn next_suspects(&self) -> Vec<(RunId, i32)> {
        loop {
            let suspects = self.take_suspects();
            if !suspects.is_empty() {
                return suspects;
            }
            self.suspected.notified().await;
        }
    }

    fn take_suspects(&self) -> Vec<(RunId, i32)> {
        let suspects = std::mem::take(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner));
        let held = self.lock();
        suspects.into_iter().filter_map(|run| Some((run, held.get(&run)?.attempt))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fences(&self) -> Vec<(RunId, i32)> {
        self.lock().iter().map(|(run, held)| (*run, held.attempt)).collect()
    }

    /// After a renewal of `asked`, sent at `sent`, that found only `kept`.
    pub(crate) fn renewed(&self, asked: &[(RunId, i32)], kept: &HashSet<RunId>, sent: Instant) {
        let mut held = self.lock();
        for (run, attempt) in asked {
            let Some(lease) = held.get_mut(run).filter(|lease| lease.attempt == *attempt) else {
                continue;
            };
            if kept.contains(run) {
                lease.expires = lease.expires.max(sent + self.config.lease());
            } else {
                lease.lose(Lost::Refused);
            }
        }
    }

    pub(crate) fn drop_expired(&self, now: Instant) {
        for lease in self.lock().values() {
            if now + self.config.margin() >= lease.expires {
                lease.lose(Lost::RanOut);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    impl Lease {
        fn is_lost(&self) -> bool {
            self.lost.borrow().is_some()
        }
    }

    #[tokio::test]
    async fn a_lease_is_kept_by_renewals_alone_and_let_go_by_a_panic() {
        let config = LeaseConfig { lease_seconds: 30 };
        let (leases, run, start) = (Leases::new(config), RunId::generate(), Instant::now());
        let first = leases.hold((run, 1), start);
        leases.drop_expired(start + Duration::from_secs(24));
        assert!(!first.is_lost());
        leases.renewed(&[(run, 1)], &HashSet::from([run]), start + Duration::from_secs(10));
        leases.drop_expired(start + Duration::from_secs(34));
        assert!(!first.is_lost(), "counted from when the renewal was sent");
        leases.drop_expired(start + Duration::from_secs(35));
        assert!(first.is_lost(), "a margin before its end");

        let second = leases.hold((run, 2), start);
        drop(first);
        assert_eq!(leases.fences(), [(run, 2)], "an older attempt's end is not the newer one's");
        leases.renewed(&[(run, 2)], &HashSet::new(), start);
        assert!(second.is_lost(), "what is not renewed is lost");
        let panicking = tokio::spawn(async move {
            let _held = second;
            panic!("on purpose");
        });
        assert!(panicking.await.is_err() && leases.fences().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_held_is_looked_at_and_once() {
        let leases = Leases::new(LeaseConfig { lease_seconds: 30 });
        let (run, other) = (RunId::generate(), RunId::generate());
        let held = leases.hold((run, 3), Instant::now());
        leases.suspect(other);
        leases.suspect(run);
        leases.suspect(run);
        assert_eq!(leases.next_suspects().await, [(run, 3)]);
        let more = tokio::time::timeout(Duration::from_secs(1), leases.next_suspects()).await;
        assert!(more.is_err(), "nobody is suspected any more");
        leases.suspect(run);
        drop(held);
        let more = tokio::time::timeout(Duration::from_secs(1), leases.next_suspects()).await;
        assert!(more.is_err(), "it is let go");
    }
}
