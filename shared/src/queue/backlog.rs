//! Keeps a queue from growing with a backlog that no process takes. While it holds many messages, a create
//! adds none: the ends of runs and the sweeper find the work. Old nudges would delay new ones.

use std::time::Duration;

use tokio::time::Instant;

use super::WorkQueue;

/// A queue with this many ready messages is full.
pub(super) const MAX_READY: u32 = 1000;
/// How often a queue is counted, while nudges of creates are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a count is used. After a quiet time, the nudge of the first create is sent.
const BELIEVED: Duration = Duration::from_secs(2);

/// The last count of each queue.
#[derive(Debug, Default)]
pub(super) struct Backlogs([Option<Count>; WorkQueue::ALL.len()]);

#[derive(Debug, Clone, Copy)]
struct Count {
    at: Instant,
    ready: u32,
}

impl Backlogs {
    pub(super) fn is_full(&self, queue: WorkQueue, now: Instant) -> bool {
        self.0[queue.index()]
            .is_some_and(|count| count.ready >= MAX_READY && now.duration_since(count.at) < BELIEVED)
    }

    pub(super) fn is_due(&self, queue: WorkQueue, now: Instant) -> bool {
        self.0[queue.index()].is_none_or(|count| now.duration_since(count.at) >= INTERVAL)
    }

    pub(super) fn note(&mut self, queue: WorkQueue, at: Instant, ready: u32) {
        self.0[queue.index()] = Some(Count { at, ready });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_full_while_its_count_is_fresh_and_large() {
        let (runs, now) = (WorkQueue::Runs, Instant::now());
        let mut backlogs = Backlogs::default();
        assert!(!backlogs.is_full(runs, now) && backlogs.is_due(runs, now), "nothing is known yet");
        backlogs.note(runs, now, MAX_READY);
        assert!(backlogs.is_full(runs, now) && !backlogs.is_due(runs, now));
        assert!(!backlogs.is_full(WorkQueue::Deliveries, now), "each queue has its own count");
        assert!(backlogs.is_full(runs, now + INTERVAL) && backlogs.is_due(runs, now + INTERVAL));
        assert!(!backlogs.is_full(runs, now + BELIEVED), "an old count says nothing");
        backlogs.note(runs, now, MAX_READY - 1);
        assert!(!backlogs.is_full(runs, now));
    }
}
