//! The leases that this process holds. The process measures them with its monotonic clock, from the time at
//! which the renewal was sent. If it cannot renew a lease, it stops the run a margin before the lease ends
//! and writes nothing more: another worker may take the run over then.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::ids::RunId;
use shared::runs::Fence;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::store::Renewed;

/// How long an early cancel is kept. If the answer of a claim takes longer, the heartbeat finds the cancel.
const EARLY_CANCEL_TTL: Duration = Duration::from_secs(30);
const MAX_EARLY_CANCELS: usize = 1000;

/// Why this process no longer holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The row rejected the renewal: the run was cancelled or another worker took it over.
    Rejected,
    /// The lease could not be renewed in time.
    Expired,
}

struct Held {
    fence: Fence,
    expires: Instant,
    /// When a broadcast said that the run was cancelled. The next renewal shows whether that is true.
    suspected: Option<Instant>,
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
    /// Cancels of runs that this process does not hold. One of them may be for a claim whose answer is in
    /// flight.
    early_cancels: VecDeque<(Instant, RunId)>,
}

/// The leases that this process holds.
#[derive(Clone)]
pub struct HeldLeases {
    config: LeaseConfig,
    state: Arc<Mutex<State>>,
    suspects_changed: Arc<Notify>,
}

/// One held lease. When it is dropped, also by a panic of the run's task, the heartbeat no longer renews it.
pub struct Lease {
    leases: HeldLeases,
    fence: Fence,
    lost: watch::Receiver<Option<Lost>>,
}

impl Lease {
    /// Returns when this process no longer holds the run.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        let why = lost.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        why.unwrap_or(Lost::Rejected)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = &mut self.leases.lock().held;
        if held.get(&self.fence.run).is_some_and(|lease| lease.fence == self.fence) {
            held.remove(&self.fence.run);
        }
    }
}

impl HeldLeases {
    #[must_use]
    pub fn new(config: LeaseConfig) -> Self {
        Self { config, state: Arc::default(), suspects_changed: Arc::default() }
    }

    /// Adds the lease of a claim or takeover that was sent at `sent`.
    #[must_use]
    pub fn hold(&self, fence: Fence, sent: Instant) -> Lease {
        let (run, (sender, lost)) = (fence.run, watch::channel(None));
        let mut state = self.lock();
        let cancel = state
            .early_cancels
            .iter()
            .rfind(|(at, cancelled)| *cancelled == run && at.elapsed() < EARLY_CANCEL_TTL);
        let suspected = cancel.map(|(at, _)| *at);
        let held = Held { fence, expires: sent + self.config.lease(), suspected, lost: sender };
        // The answers of two claims may arrive in the wrong order. The lower attempt is lost. After a
        // failover that lost a claim, two may have the same attempt. If the later answer is that of the lost
        // one, the next renewal rejects it, and the run's lease expires.
        if state.held.get(&run).is_some_and(|newer| newer.fence.attempt > fence.attempt) {
            held.lose(Lost::Rejected);
        } else if let Some(older) = state.held.insert(run, held) {
            older.lose(Lost::Rejected);
        }
        if suspected.is_some() {
            self.suspects_changed.notify_one();
        }
        Lease { leases: self.clone(), fence, lost }
    }

    /// Marks a run that was cancelled according to a broadcast. The heartbeat checks its row at once.
    pub fn suspect(&self, run: RunId) {
        let State { held, early_cancels } = &mut *self.lock();
        if let Some(lease) = held.get_mut(&run) {
            lease.suspected = Some(Instant::now());
            self.suspects_changed.notify_one();
        } else {
            early_cancels.push_back((Instant::now(), run));
            while early_cancels.len() > MAX_EARLY_CANCELS
                || early_cancels.front().is_some_and(|(at, _)| at.elapsed() >= EARLY_CANCEL_TTL)
            {
                early_cancels.pop_front();
            }
        }
    }

    /// Marks all runs, because broadcasts may have been missed.
    pub fn suspect_all(&self) {
        let now = Instant::now();
        self.lock().held.values_mut().for_each(|lease| lease.suspected = Some(now));
        self.suspects_changed.notify_one();
    }

    /// Waits until at least one run is suspected. A run stays suspected until a renewal that was sent after
    /// the suspicion is answered.
    pub(crate) async fn suspects(&self) -> Vec<Fence> {
        loop {
            let suspects = self.fences_of(|lease| lease.suspected.is_some());
            if !suspects.is_empty() {
                return suspects;
            }
            self.suspects_changed.notified().await;
        }
    }

    /// The fences of all leases to renew.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        self.fences_of(|_| true)
    }

    /// Leaves lost runs out: a renewal would keep another worker from taking them over.
    fn fences_of(&self, wanted: impl Fn(&Held) -> bool) -> Vec<Fence> {
        let state = self.lock();
        let held = state.held.values().filter(|lease| wanted(lease) && !lease.is_lost());
        held.map(|lease| lease.fence).collect()
    }

    /// Applies the answer to a renewal of `asked` that was sent at `sent`. A locked run becomes suspected, so
    /// the heartbeat soon asks for it again, without the other runs.
    pub(crate) fn apply(&self, asked: &[Fence], renewed: &Renewed, sent: Instant) {
        let mut state = self.lock();
        for fence in asked {
            let Some(lease) = state.held.get_mut(&fence.run).filter(|lease| lease.fence == *fence) else {
                continue;
            };
            if renewed.locked.contains(&fence.run) {
                lease.suspected = lease.suspected.or(Some(sent));
                self.suspects_changed.notify_one();
            } else if renewed.kept.contains(&fence.run) {
                lease.suspected = lease.suspected.filter(|at| *at > sent);
                lease.expires = lease.expires.max(sent + self.config.lease());
            } else {
                lease.lose(Lost::Rejected);
            }
        }
    }

    /// Loses the leases that end within the margin. Returns how many leases the process holds.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let state = self.lock();
        for lease in state.held.values() {
            if now + self.config.margin() >= lease.expires {
                lease.lose(Lost::Expired);
            }
        }
        state.held.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
