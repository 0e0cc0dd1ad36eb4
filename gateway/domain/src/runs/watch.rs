//! Wakes the waits and streams of a run when the run changes. A broadcast of `run.events` wakes them at once.
//! If one is lost, or the broker is away, each watcher wakes by itself after [`SLOW_POLL`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Bucket, Received, Topic};
use tokio::sync::watch;

/// The longest time between two polls of a watcher.
const SLOW_POLL: Duration = Duration::from_secs(2);
/// How often the topics without watchers are unbound. Binding costs a round trip, so the end of a watch does
/// not do it.
const UNBIND_EVERY: Duration = Duration::from_secs(30);

/// The runs that this process watches.
#[derive(Clone)]
pub struct RunWatchers {
    watched: Arc<Mutex<HashMap<RunId, watch::Sender<()>>>>,
    topics: watch::Sender<BTreeSet<Topic>>,
}

impl Default for RunWatchers {
    fn default() -> Self {
        Self { watched: Arc::default(), topics: watch::Sender::new(BTreeSet::new()) }
    }
}

/// One watcher of one run.
pub struct Watch {
    watchers: RunWatchers,
    run: RunId,
    woken: watch::Receiver<()>,
}

impl RunWatchers {
    /// The topics to bind, as they change.
    #[must_use]
    pub fn topics(&self) -> watch::Receiver<BTreeSet<Topic>> {
        self.topics.subscribe()
    }

    /// Watches a run. Watch first, then read: then no change in between is missed.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        let woken = self.lock().entry(run).or_default().subscribe();
        let topic = Topic::Runs(Bucket::of(run));
        self.topics.send_if_modified(|topics| topics.insert(topic));
        Watch { watchers: self.clone(), run, woken }
    }

    /// Wakes the watchers of the runs that a broadcast names.
    pub fn receive(&self, received: Received) {
        let watched = self.lock();
        match received {
            Received::Broadcast(Broadcast::RunChanged(run)) => {
                if let Some(watchers) = watched.get(&run) {
                    watchers.send_replace(());
                }
            }
            // Broadcasts from before the binding, or from while the broker was away, are lost.
            Received::Subscribed(Topic::Runs(bucket)) | Received::Resubscribed(Topic::Runs(bucket)) => {
                for (_, watchers) in watched.iter().filter(|(run, _)| Bucket::of(**run) == bucket) {
                    watchers.send_replace(());
                }
            }
            _ => {}
        }
    }

    /// Unbinds topics without watchers until the process stops.
    pub async fn unbind_idle(self, lifecycle: Lifecycle) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(UNBIND_EVERY) => {}
                () = lifecycle.stopping().cancelled() => return,
            }
            let mut watched = self.lock();
            // Two watchers that end at the same moment may each count the other one as alive.
            watched.retain(|_, watchers| watchers.receiver_count() > 0);
            let wanted: BTreeSet<_> = watched.keys().map(|run| Topic::Runs(Bucket::of(*run))).collect();
            self.topics.send_if_modified(|topics| {
                let changed = *topics != wanted;
                *topics = wanted;
                changed
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when the run may have changed.
    pub async fn changed(&mut self) {
        let _ = tokio::time::timeout(SLOW_POLL, self.woken.changed()).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watchers.lock();
        if watched.get(&self.run).is_some_and(|watchers| watchers.receiver_count() <= 1) {
            watched.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watcher_is_woken_by_a_nudge_by_a_late_bind_and_by_time() {
        let (live, run) = (RunWatchers::default(), RunId::generate());
        let (mut first, mut second) = (live.watch(run), live.watch(run));
        assert!(live.topics().borrow().contains(&Topic::Runs(Bucket::of(run))));
        let begun = tokio::time::Instant::now();
        live.receive(Received::Broadcast(Broadcast::RunChanged(run)));
        first.changed().await;
        second.changed().await;
        live.receive(Received::Subscribed(Topic::Runs(Bucket::of(run))));
        first.changed().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        live.receive(Received::Broadcast(Broadcast::RunChanged(RunId::generate())));
        first.changed().await;
        assert_eq!(begun.elapsed(), SLOW_POLL, "a broadcast about another run wakes no watcher");
        drop(first);
        assert_eq!(live.lock().len(), 1);
        drop(second);
        assert!(live.lock().is_empty());
    }
}
