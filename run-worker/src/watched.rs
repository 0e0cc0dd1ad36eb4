//! The runs that streams of gateways show. A worker sends broadcasts about new events, and the words of
//! models, only for these runs. So runs without streams cost one look at a number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ids::RunId;
use shared::queue::WatchedRuns;
use tokio::time::Instant;

/// How long a run counts as watched. Gateways repeat it three times as often.
const WATCHED_FOR: Duration = Duration::from_secs(30);
/// Runs that are remembered, of all workers. The streams of further runs get no words, and poll for events.
const MAX_RUNS: usize = 50_000;

/// When a run stops being watched.
#[derive(Debug, Clone, Copy)]
struct Until {
    events: Instant,
    words: Option<Instant>,
}

/// The watched runs, whichever worker executes them.
pub struct Watched {
    started: Instant,
    /// When the last of them stops being watched, in milliseconds after `started`.
    last: AtomicU64,
    state: Mutex<State>,
}

struct State {
    runs: HashMap<RunId, Until>,
    prune_at: Instant,
}

impl Default for Watched {
    fn default() -> Self {
        let started = Instant::now();
        let state = Mutex::new(State { runs: HashMap::new(), prune_at: started + WATCHED_FOR });
        Self { started, last: AtomicU64::new(0), state }
    }
}

impl Watched {
    /// Remembers what a gateway said.
    pub fn receive(&self, watched: &WatchedRuns) {
        let (now, mut state) = (Instant::now(), self.lock());
        let until = now + WATCHED_FOR;
        if now >= state.prune_at {
            state.runs.retain(|_, until| until.events > now);
            state.prune_at = until;
        }
        for (run, words) in watched.all() {
            if state.runs.len() >= MAX_RUNS && !state.runs.contains_key(&run) {
                continue;
            }
            let entry = state.runs.entry(run).or_insert(Until { events: until, words: None });
            entry.events = until;
            entry.words = if words { Some(until) } else { entry.words };
        }
        self.last.store(self.millis(until), Ordering::Relaxed);
    }

    /// Whether a stream shows the events of the run.
    #[must_use]
    pub fn wants_events(&self, run: RunId) -> bool {
        self.has(run, |until| Some(until.events))
    }

    /// Whether a stream shows the words of the run's model.
    #[must_use]
    pub fn wants_words(&self, run: RunId) -> bool {
        self.has(run, |until| until.words)
    }

    fn has(&self, run: RunId, what: fn(&Until) -> Option<Instant>) -> bool {
        let now = Instant::now();
        if self.millis(now) >= self.last.load(Ordering::Relaxed) {
            return false;
        }
        self.lock().runs.get(&run).and_then(what).is_some_and(|until| until > now)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_is_watched_until_no_gateway_repeats_it() {
        let (watched, run, other) = (Watched::default(), RunId::generate(), RunId::generate());
        assert!(!watched.wants_events(run));
        let events = WatchedRuns { events: vec![run], words: vec![] };
        watched.receive(&events);
        assert!(watched.wants_events(run) && !watched.wants_words(run) && !watched.wants_events(other));
        watched.receive(&WatchedRuns { events: vec![], words: vec![run, other] });
        assert!(watched.wants_words(run) && watched.wants_events(other));
        tokio::time::advance(WATCHED_FOR / 2).await;
        watched.receive(&events);
        tokio::time::advance(WATCHED_FOR / 2).await;
        assert!(watched.wants_events(run) && !watched.wants_words(run), "each for its own time");
        assert!(!watched.wants_events(other));
        tokio::time::advance(WATCHED_FOR / 2).await;
        assert!(!watched.wants_events(run));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let watched = Watched::default();
        let many =
            || WatchedRuns { events: (0..MAX_RUNS).map(|_| RunId::generate()).collect(), words: vec![] };
        watched.receive(&many());
        let late = WatchedRuns { events: vec![RunId::generate()], words: vec![] };
        watched.receive(&late);
        assert!(!watched.wants_events(late.events[0]));
        assert_eq!(watched.lock().runs.len(), MAX_RUNS);
        tokio::time::advance(WATCHED_FOR).await;
        watched.receive(&late);
        assert!(watched.wants_events(late.events[0]));
        assert_eq!(watched.lock().runs.len(), 1);
    }
}
