//! The leases that this process holds. The worker counts on its own monotonic clock, from before a renewal was sent: a
//! margin before the end of a lease that could not be renewed it stops the run by itself, writes nothing, and forgets it.
//! Another worker may hold it from then on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::ids::RunId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::claim::Renewed;

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
    /// When somebody said that it was cancelled: the row will tell.
    suspect: Option<Instant>,
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
        let told = state.early.iter().rfind(|(at, early)| *early == run && at.elapsed() < EARLY);
        let suspect = told.map(|(at, _)| *at);
        let held = Held { attempt, expires: sent + self.config.lease(), suspect, lost: sender };
        // The answers of two claims may come in the wrong order: the older attempt is nobody's any more.
        if state.held.get(&run).is_some_and(|newer| newer.attempt > attempt) {
            held.lose(Lost::Refused);
        } else if let Some(older) = state.held.insert(run, held) {
            older.lose(Lost::Refused);
        }
        if suspect.is_some() {
            self.suspected.notify_one();
        }
        Lease { leases: self.clone(), fence, lost }
    }

    /// Somebody says that this run was cancelled. It is only a word: the row is looked at.
    pub fn suspect(&self, run: RunId) {
        let State { held, early } = &mut *self.lock();
        if let Some(lease) = held.get_mut(&run) {
            lease.suspect = Some(Instant::now());
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
        let now = Instant::now();
        self.lock().held.values_mut().for_each(|lease| lease.suspect = Some(now));
        self.suspected.notify_one();
    }

    /// Waits until there are suspects. They stay that until a renewal that was sent later has answered.
    pub(crate) async fn suspects(&self) -> Vec<(RunId, i32)> {
        loop {
            let suspects = self.fences_of(|lease| lease.suspect.is_some());
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

    /// After a renewal of `asked`, sent at `sent`. What was locked is asked for again at once, alone.
    pub(crate) fn renewed(&self, asked: &[(RunId, i32)], renewed: &Renewed, sent: Instant) {
        let mut state = self.lock();
        for (run, attempt) in asked {
            let Some(lease) = state.held.get_mut(run).filter(|lease| lease.attempt == *attempt) else {
                continue;
            };
            if renewed.locked.contains(run) {
                lease.suspect = lease.suspect.or(Some(sent));
                self.suspected.notify_one();
            } else if renewed.kept.contains(run) {
                lease.suspect = lease.suspect.filter(|told| *told > sent);
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
mod tests;
