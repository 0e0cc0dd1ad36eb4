//! The leases that this process holds. The worker counts on its own monotonic clock, from before a renewal was sent: a
//! margin before the end of a lease that could not be renewed it stops the run by itself, writes nothing, and forgets it.
//! Another worker may hold it from then on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::ids::RunId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A claim whose answer takes longer than this to arrive is found out by the heartbeat.
const EARLY: Duration = Duration::from_secs(30);
/// Cancels of other workers' runs that are remembered.
const MAX_EARLY: usize = 1000;

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
    /// Somebody said that it was cancelled: the row will tell.
    suspect: bool,
    lost: watch::Sender<Option<Lost>>,
}

impl Held {
    fn lose(&self, why: Lost) {
        self.lost.send_if_modified(|lost| lost.is_none() && lost.replace(why).is_none());
    }

    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}

#[derive(Default)]
struct State {
    held: HashMap<RunId, Held>,
    /// Cancels of runs that are not held: the answer of a claim may still be on its way here.
    early: VecDeque<(Instant, RunId)>,
}

/// The runs that a process holds.
#[derive(Clone)]
pub struct Leases {
    config: LeaseConfig,
    state: Arc<Mutex<State>>,
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
        let held = &mut self.leases.lock().held;
        if held.get(&run).is_some_and(|lease| lease.attempt == attempt) {
            held.remove(&run);
        }
    }
}

impl Leases {
    /// None yet.
    #[must_use]
    pub fn new(config: LeaseConfig) -> Self {
        Self { config, state: Arc::default(), suspected: Arc::default() }
    }

    /// Notes a lease that was taken by a statement sent at `sent`.
    #[must_use]
    pub fn hold(&self, fence: (RunId, i32), sent: Instant) -> Lease {
        let ((run, attempt), (sender, lost)) = (fence, watch::channel(None));
        let mut state = self.lock();
        let suspect = state.early.iter().any(|(at, early)| *early == run && at.elapsed() < EARLY);
        let held = Held { attempt, expires: sent + self.config.lease(), suspect, lost: sender };
        if let Some(older) = state.held.insert(run, held) {
            older.lose(Lost::Refused);
        }
        if suspect {
            self.suspected.notify_one();
        }
        Lease { leases: self.clone(), fence, lost }
    }

    /// Somebody says that this run was cancelled. It is only a word: the row is looked at.
    pub fn suspect(&self, run: RunId) {
        let State { held, early } = &mut *self.lock();
        if let Some(lease) = held.get_mut(&run) {
            lease.suspect = true;
            self.suspected.notify_one();
        } else {
            early.push_back((Instant::now(), run));
            while early.len() > MAX_EARLY || early.front().is_some_and(|(at, _)| at.elapsed() >= EARLY) {
                early.pop_front();
            }
        }
    }

    /// News may have been missed: all rows are looked at.
    pub fn suspect_all(&self) {
        self.lock().held.values_mut().for_each(|lease| lease.suspect = true);
        self.suspected.notify_one();
    }

    /// Waits until there are suspects. They stay that until a renewal has answered.
    pub(crate) async fn suspects(&self) -> Vec<(RunId, i32)> {
        loop {
            let suspects = self.fences_of(|lease| lease.suspect);
            if !suspects.is_empty() {
                return suspects;
            }
            self.suspected.notified().await;
        }
    }

    /// What is to be renewed.
    pub(crate) fn fences(&self) -> Vec<(RunId, i32)> {
        self.fences_of(|_| true)
    }

    /// A run that is lost already must not be renewed behind everybody's back.
    fn fences_of(&self, wanted: impl Fn(&Held) -> bool) -> Vec<(RunId, i32)> {
        let state = self.lock();
        let held = state.held.iter().filter(|(_, lease)| wanted(lease) && !lease.is_lost());
        held.map(|(run, lease)| (*run, lease.attempt)).collect()
    }

    /// After a renewal of `asked`, sent at `sent`, that found only `kept`.
    pub(crate) fn renewed(&self, asked: &[(RunId, i32)], kept: &HashSet<RunId>, sent: Instant) {
        let mut state = self.lock();
        for (run, attempt) in asked {
            let Some(lease) = state.held.get_mut(run).filter(|lease| lease.attempt == *attempt) else {
                continue;
            };
            lease.suspect = false;
            if kept.contains(run) {
                lease.expires = lease.expires.max(sent + self.config.lease());
            } else {
                lease.lose(Lost::Refused);
            }
        }
    }

    pub(crate) fn drop_expired(&self, now: Instant) {
        for lease in self.lock().held.values() {
            if now + self.config.margin() >= lease.expires {
                lease.lose(Lost::RanOut);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn suspects_are_looked_at_until_there_is_an_answer() {
        let leases = Leases::new(LeaseConfig { lease_seconds: 30 });
        let (run, late, never) = (RunId::generate(), RunId::generate(), RunId::generate());
        let nobody = async || tokio::time::timeout(Duration::from_secs(1), leases.suspects()).await.is_err();
        let held = leases.hold((run, 3), Instant::now());
        leases.suspect(never);
        assert!(nobody().await, "what is not held is nothing to look at");
        leases.suspect(run);
        assert_eq!(leases.suspects().await, [(run, 3)]);
        assert_eq!(leases.suspects().await, [(run, 3)], "again, should there be no answer");
        leases.renewed(&[(run, 3)], &HashSet::from([run]), Instant::now());
        assert!(nobody().await && !held.is_lost(), "it was only a word");

        leases.suspect(late);
        let just_claimed = leases.hold((late, 1), Instant::now());
        assert_eq!(leases.suspects().await, [(late, 1)], "the cancel was faster than the claim's answer");
        leases.renewed(&[(late, 1)], &HashSet::new(), Instant::now());
        assert!(nobody().await && just_claimed.is_lost());
        assert_eq!(leases.fences(), [(run, 3)], "what is lost is not renewed");
        leases.suspect(run);
        drop(held);
        assert!(nobody().await, "it is let go");
    }
}
