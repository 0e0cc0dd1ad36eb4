//! Wakes the waits and streams of a run when the run changes, and passes the words of its model on to
//! streams. A broadcast wakes them at once. `poll` wakes them if it is lost, or if the broker is away.
//! `announce` tells the workers which runs have streams.

mod announce;
mod poll;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Bucket, ModelWords, Received, Topic};
use tokio::sync::{Notify, broadcast, watch};

/// A watcher wakes by itself after this time, if no broadcast and no poll wakes it.
const FALLBACK: Duration = Duration::from_secs(30);
/// How often the topics without watchers are unbound. Binding costs a round trip, so the end of a watch does
/// not do it.
const UNBIND_EVERY: Duration = Duration::from_secs(30);
/// Messages with words that wait for a slow stream. Further ones drop the oldest.
const WORDS_WAITING: usize = 16;

/// The runs that this process watches.
#[derive(Clone)]
pub struct RunWatchers {
    state: Arc<Mutex<State>>,
    /// Wakes `announce` when a run has a new stream.
    fresh: Arc<Notify>,
    topics: watch::Sender<BTreeSet<Topic>>,
}

#[derive(Default)]
struct State {
    runs: HashMap<RunId, Watched>,
    /// Runs with a stream that no worker knows of yet.
    fresh: BTreeSet<RunId>,
}

/// One run with watchers.
struct Watched {
    changed: watch::Sender<()>,
    /// Its streams. Waits need no messages before the end of the run.
    streams: usize,
    words: Option<broadcast::Sender<Arc<ModelWords>>>,
    /// What the last poll read.
    polled: Option<poll::LastSeq>,
}

impl Default for RunWatchers {
    fn default() -> Self {
        Self { state: Arc::default(), fresh: Arc::default(), topics: watch::Sender::new(BTreeSet::new()) }
    }
}

/// One watcher of one run.
pub struct Watch {
    watchers: RunWatchers,
    run: RunId,
    is_stream: bool,
    woken: watch::Receiver<()>,
    words: Option<broadcast::Receiver<Arc<ModelWords>>>,
}

/// Why a watcher woke.
#[derive(Debug)]
pub enum Woken {
    /// The run may have changed.
    Changed,
    Words(Arc<ModelWords>),
}

impl RunWatchers {
    /// The topics to bind, as they change.
    #[must_use]
    pub fn topics(&self) -> watch::Receiver<BTreeSet<Topic>> {
        self.topics.subscribe()
    }

    /// Watches a run for a wait. Watch first, then read: then no change in between is missed.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        self.add(run, false, false)
    }

    /// Watches a run for a stream, which shows each event at once. With `words` it also shows the words of
    /// the run's model.
    #[must_use]
    pub fn stream(&self, run: RunId, words: bool) -> Watch {
        let watch = self.add(run, true, words);
        self.lock().fresh.insert(run);
        self.fresh.notify_one();
        watch
    }

    fn add(&self, run: RunId, is_stream: bool, words: bool) -> Watch {
        let mut state = self.lock();
        let watched = state.runs.entry(run).or_insert_with(|| Watched {
            changed: watch::Sender::default(),
            streams: 0,
            words: None,
            polled: None,
        });
        watched.streams += usize::from(is_stream);
        let woken = watched.changed.subscribe();
        let channel = || broadcast::Sender::new(WORDS_WAITING);
        let heard = words.then(|| watched.words.get_or_insert_with(channel).subscribe());
        drop(state);
        let bucket = Bucket::of(run);
        let needed = [Some(Topic::Runs(bucket)), words.then_some(Topic::Words(bucket))];
        self.topics.send_if_modified(|topics| {
            let before = topics.len();
            topics.extend(needed.into_iter().flatten());
            topics.len() > before
        });
        Watch { watchers: self.clone(), run, is_stream, woken, words: heard }
    }

    /// Wakes the watchers of the runs that a message names.
    pub fn receive(&self, received: Received) {
        let state = self.lock();
        match received {
            Received::Broadcast(Broadcast::RunChanged(run)) => {
                if let Some(watched) = state.runs.get(&run) {
                    watched.changed.send_replace(());
                }
            }
            Received::Words(words) => {
                if let Some(channel) = state.runs.get(&words.run).and_then(|run| run.words.as_ref()) {
                    // Fails if the last stream with words has just ended.
                    let _ = channel.send(Arc::new(words));
                }
            }
            // Broadcasts from before the binding, or from while the broker was away, are lost.
            Received::Subscribed(Topic::Runs(bucket)) | Received::Resubscribed(Topic::Runs(bucket)) => {
                for (_, watched) in state.runs.iter().filter(|(run, _)| Bucket::of(**run) == bucket) {
                    watched.changed.send_replace(());
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
            self.topics.send_if_modified(|topics| {
                // Computed under the lock of the topics: a watcher that comes now adds its topics afterwards.
                let wanted = self.wanted_topics();
                let changed = *topics != wanted;
                *topics = wanted;
                changed
            });
        }
    }

    fn wanted_topics(&self) -> BTreeSet<Topic> {
        let mut state = self.lock();
        // Two watchers that end at the same moment may each count the other one as alive.
        state.runs.retain(|_, watched| watched.changed.receiver_count() > 0);
        let mut wanted = BTreeSet::new();
        for (run, watched) in &mut state.runs {
            watched.words = watched.words.take().filter(|words| words.receiver_count() > 0);
            wanted.insert(Topic::Runs(Bucket::of(*run)));
            wanted.extend(watched.words.is_some().then_some(Topic::Words(Bucket::of(*run))));
        }
        wanted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when the run may have changed, or with words of its model.
    pub async fn woken(&mut self) -> Woken {
        tokio::select! {
            _ = tokio::time::timeout(FALLBACK, self.woken.changed()) => Woken::Changed,
            words = next_words(&mut self.words) => Woken::Words(words),
        }
    }

    /// Returns when a read that failed may be repeated.
    pub async fn retry(&mut self) {
        let _ = tokio::time::timeout(poll::POLL_EVERY, self.woken.changed()).await;
    }
}

/// The next words. Never returns without them.
async fn next_words(words: &mut Option<broadcast::Receiver<Arc<ModelWords>>>) -> Arc<ModelWords> {
    while let Some(receiver) = words {
        match receiver.recv().await {
            Ok(words) => return words,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                metrics::counter!("capi_deltas_dropped_total").increment(missed);
            }
            Err(broadcast::error::RecvError::Closed) => *words = None,
        }
    }
    std::future::pending().await
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.watchers.lock();
        let Some(watched) = state.runs.get_mut(&self.run) else { return };
        watched.streams = watched.streams.saturating_sub(usize::from(self.is_stream));
        if watched.changed.receiver_count() <= 1 {
            state.runs.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests;
