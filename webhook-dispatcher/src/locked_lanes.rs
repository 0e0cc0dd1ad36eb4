//! Lanes that another transaction had locked when a nudge came. Each waits with one permit, beside the
//! consumer, so that the lock delays no other lane.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::LaneId;

/// Each wait holds a permit, for at most the lock timeout. The sweeper nudges further lanes again.
const AT_ONCE: usize = 4;

#[derive(Clone, Default)]
pub(crate) struct LockedLanes(Arc<Mutex<HashSet<LaneId>>>);

impl LockedLanes {
    /// False if the lane waits already, or too many others do.
    pub(crate) fn begin(&self, lane: LaneId) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.len() < AT_ONCE && waiting.insert(lane)
    }

    pub(crate) fn end(&self, lane: LaneId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&lane);
    }
}
