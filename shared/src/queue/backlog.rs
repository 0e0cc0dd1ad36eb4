//! Keeps a queue from growing with a backlog that no process takes. While it holds many messages, a create
//! adds none: old nudges would delay new ones. The ids are kept and nudged as soon as the queue has room. The
//! ends of runs and the sweeper find the work too.

use std::time::Duration;

use tokio::time::Instant;

use super::coalesce::Coalesced;
use super::{Nudge, WorkQueue};

/// A queue with this many ready messages is full.
pub(super) const MAX_READY: u32 = 1000;
/// How often a queue is counted, while nudges of creates are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often a full queue is counted. Workers may empty it within a moment.
const FULL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a full count is used. After a quiet time, the nudge of the first create is sent.
const BELIEVED: Duration = Duration::from_millis(200);
/// Ids that are kept for each queue.
const MOST_SPARED: usize = 1000;

/// The queues, as far as this process knows them.
#[derive(Debug, Default)]
pub(super) struct Backlogs([Backlog; WorkQueue::ALL.len()]);

#[derive(Debug, Default)]
struct Backlog {
    /// The last count.
    count: Option<Count>,
    /// Nudges that were not sent.
    spared: Coalesced,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    at: Instant,
    ready: u32,
}

impl Backlogs {
    /// Keeps the nudge of a create if the queue is full. Returns whether it is.
    pub(super) fn spare(&mut self, queue: WorkQueue, nudge: Nudge, now: Instant) -> bool {
        let Backlog { count, spared } = &mut self.0[queue.index()];
        let is_full = count.is_some_and(|count| count.is_full() && now.duration_since(count.at) < BELIEVED);
        if is_full && (spared.len() < MOST_SPARED || spared.contains(nudge.id)) {
            spared.add(nudge);
        }
        is_full
    }

    /// The spared nudges of the queues that had room when they were counted last.
    pub(super) fn take_spared(&mut self) -> Vec<(WorkQueue, Nudge)> {
        let mut taken = Vec::new();
        for queue in WorkQueue::ALL {
            let Backlog { count, spared } = &mut self.0[queue.index()];
            if count.is_some_and(|count| !count.is_full()) {
                let nudges = std::mem::take(spared).into_nudges();
                taken.extend(nudges.into_iter().map(|nudge| (queue, nudge)));
            }
        }
        taken
    }

    /// When spared nudges need the next count, or can be sent. `None` without such nudges.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.0.iter().filter(|backlog| backlog.spared.len() > 0);
        waiting.filter_map(|backlog| backlog.count.map(Count::next)).min()
    }

    /// Whether to count the queue. `created`: whether creates added work to it.
    pub(super) fn is_due(&self, queue: WorkQueue, created: bool, now: Instant) -> bool {
        let Backlog { count, spared } = &self.0[queue.index()];
        (created || spared.len() > 0)
            && count.is_none_or(|count| {
                let interval = if count.is_full() { FULL_INTERVAL } else { INTERVAL };
                now.duration_since(count.at) >= interval
            })
    }

    pub(super) fn note(&mut self, queue: WorkQueue, at: Instant, ready: u32) {
        self.0[queue.index()].count = Some(Count { at, ready });
    }
}

impl Count {
    const fn is_full(self) -> bool {
        self.ready >= MAX_READY
    }

    fn next(self) -> Instant {
        if self.is_full() { self.at + FULL_INTERVAL } else { self.at }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_queue_is_full_while_its_count_is_fresh_and_large() {
        let (runs, now, nudge) = (WorkQueue::Runs, Instant::now(), Nudge::new(Uuid::from_u128(1)));
        let mut backlogs = Backlogs::default();
        assert!(
            !backlogs.spare(runs, nudge, now) && backlogs.is_due(runs, true, now),
            "nothing is known yet"
        );
        assert!(!backlogs.is_due(runs, false, now), "no create needs to know");
        backlogs.note(runs, now, MAX_READY);
        assert!(backlogs.spare(runs, nudge, now) && !backlogs.is_due(runs, true, now));
        assert!(!backlogs.spare(WorkQueue::Deliveries, nudge, now), "each queue has its own count");
        assert!(backlogs.spare(runs, nudge, now + FULL_INTERVAL));
        assert!(!backlogs.spare(runs, nudge, now + BELIEVED), "an old count says nothing");
        backlogs.note(runs, now, MAX_READY - 1);
        assert!(!backlogs.spare(runs, nudge, now));
    }

    #[test]
    fn spared_nudges_are_sent_when_the_queue_has_room() {
        let (runs, now) = (WorkQueue::Runs, Instant::now());
        let [user, other] = [1, 2].map(|id| Nudge::new(Uuid::from_u128(id)));
        let mut backlogs = Backlogs::default();
        assert_eq!(backlogs.next(), None);
        backlogs.note(runs, now, MAX_READY);
        assert!([user, other, user].into_iter().all(|nudge| backlogs.spare(runs, nudge, now)));
        let later = now + FULL_INTERVAL;
        assert_eq!(backlogs.next(), Some(later), "also if nothing else is sent");
        assert!(backlogs.is_due(runs, false, later) && backlogs.take_spared().is_empty());
        backlogs.note(runs, later, MAX_READY);
        assert!(backlogs.take_spared().is_empty(), "still full");
        backlogs.note(runs, later, 0);
        assert_eq!(backlogs.next(), Some(later), "at once");
        assert_eq!(backlogs.take_spared(), [(runs, Nudge::times(user.id, 2)), (runs, other)]);
        assert_eq!((backlogs.next(), backlogs.take_spared()), (None, Vec::new()));
    }

    #[test]
    fn few_ids_are_kept() {
        let (runs, now) = (WorkQueue::Runs, Instant::now());
        let mut backlogs = Backlogs::default();
        backlogs.note(runs, now, MAX_READY);
        for id in 0..2000 {
            assert!(backlogs.spare(runs, Nudge::new(Uuid::from_u128(id)), now));
        }
        backlogs.note(runs, now, 0);
        assert_eq!(backlogs.take_spared().len(), MOST_SPARED);
    }
}
