//! Tells the workers which runs have streams in this gateway. Workers send broadcasts about new events, and
//! the words of models, only for such runs.

use std::time::Duration;

use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Publisher, WATCHED_AT_ONCE, WatchedRuns};

use super::RunWatchers;

/// How often all runs with streams are named: new workers have not heard of them, and messages may be lost.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);

impl RunWatchers {
    /// Names runs with new streams at once, and all of them every ten seconds, until the process stops.
    pub async fn announce(self, publisher: Publisher, lifecycle: Lifecycle) {
        let mut every = tokio::time::interval(ANNOUNCE_EVERY);
        loop {
            let messages = tokio::select! {
                _ = every.tick() => self.announcements(false),
                () = self.fresh.notified() => self.announcements(true),
                () = lifecycle.stopping().cancelled() => return,
            };
            for message in messages {
                publisher.announce(message);
            }
        }
    }

    /// The messages about all runs with streams, or about those that no message has named yet.
    pub(super) fn announcements(&self, only_fresh: bool) -> Vec<WatchedRuns> {
        let mut state = self.lock();
        let fresh = std::mem::take(&mut state.fresh);
        let streamed = state.runs.iter().filter(|(_, watched)| watched.streams > 0);
        let named = streamed.filter(|(run, _)| !only_fresh || fresh.contains(run));
        let named: Vec<(RunId, bool)> = named
            .map(|(run, watched)| {
                let words = watched.words.as_ref().is_some_and(|words| words.receiver_count() > 0);
                (*run, words)
            })
            .collect();
        let of = |part: &[(RunId, bool)], words| {
            part.iter().filter(|(_, has_words)| *has_words == words).map(|(run, _)| *run).collect()
        };
        let parts = named.chunks(WATCHED_AT_ONCE);
        parts.map(|part| WatchedRuns { events: of(part, false), words: of(part, true) }).collect()
    }
}
