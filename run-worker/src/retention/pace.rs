//! How large a batch is, and how long the pause after it. Pure.

use std::time::Duration;

/// The most rows that one statement deletes: runs, each with its events, or audit lines.
const MAX_BATCH: i32 = 50;
/// Events of a batch for each of its runs. An event may have a MiB: the smallest batch stays far below the
/// timeout of a statement.
const EVENTS_PER_RUN: i32 = 20;
/// A batch that takes longer is halved: runs with many events are slow to delete.
const SLOW: Duration = Duration::from_millis(50);
/// A batch that is faster is doubled.
const FAST: Duration = Duration::from_millis(15);
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause, far below the time after which another worker would take the turn.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The pause as a multiple of the batch before it: deleting takes at most a fifth of the time.
const REST: u32 = 4;

pub(super) struct Pace(i32);

impl Pace {
    pub(super) const fn new() -> Self {
        // The first runs of an account may be large.
        Self(1)
    }

    /// The runs of the next batch, and its events.
    pub(super) const fn runs_and_events(&self) -> (i32, i32) {
        (self.0, self.0 * EVENTS_PER_RUN)
    }

    /// After a batch that failed. Returns false if a smaller one is not possible.
    pub(super) const fn shrink(&mut self) -> bool {
        let was = self.0;
        self.0 = if was > 2 { was / 2 } else { 1 };
        was > 1
    }

    pub(super) const fn batch(&self) -> i32 {
        self.0
    }

    /// The pause after a batch that took so long. Also sets the size of the next one.
    pub(super) fn pause_after(&mut self, took: Duration) -> Duration {
        if took > SLOW {
            self.0 = (self.0 / 2).max(1);
        } else if took < FAST {
            self.0 = (self.0 * 2).min(MAX_BATCH);
        }
        (took * REST).clamp(MIN_PAUSE, MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_batches_become_small_and_pauses_long() {
        let mut pace = Pace::new();
        assert_eq!(pace.batch(), 1);
        for _ in 0..10 {
            assert_eq!(pace.pause_after(Duration::from_millis(1)), MIN_PAUSE);
        }
        assert_eq!(pace.runs_and_events(), (MAX_BATCH, 1000));
        assert!(pace.shrink());
        assert_eq!(pace.batch(), MAX_BATCH / 2);
        for _ in 0..10 {
            assert_eq!(pace.pause_after(Duration::from_millis(200)), Duration::from_millis(800));
        }
        assert_eq!(pace.batch(), 1);
        assert!(!pace.shrink());
        assert_eq!(pace.pause_after(Duration::from_mins(1)), MAX_PAUSE);
        for _ in 0..10 {
            pace.pause_after(Duration::from_millis(1));
        }
        assert_eq!(pace.batch(), MAX_BATCH);
    }
}
