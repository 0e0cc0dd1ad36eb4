//! Which hosts answered this process a moment ago. Only their lanes may have many requests in flight: a host
//! that worked an hour ago may hang now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared::ids::LaneId;
use tokio::time::{Duration, Instant};

/// How long an answer counts.
const LATELY: Duration = Duration::from_secs(2);
/// With more lanes all are forgotten. That costs each of them one answer, and then it is known again.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Answering(Mutex<HashMap<LaneId, Instant>>);

impl Answering {
    /// The lane's host answered, or it did not.
    pub fn note(&self, lane: LaneId, answered: bool) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !answered {
            lanes.remove(&lane);
            return;
        }
        if lanes.len() >= MOST {
            lanes.clear();
        }
        lanes.insert(lane, Instant::now());
    }

    /// Those of `lanes` whose hosts answered lately.
    #[must_use]
    pub fn of(&self, lanes: &[LaneId]) -> Vec<LaneId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |lane: &&LaneId| known.get(lane).is_some_and(|at| at.elapsed() < LATELY);
        lanes.iter().filter(lately).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_a_moment_and_until_the_next_failure() {
        let (answering, lane, other) = (Answering::default(), LaneId::generate(), LaneId::generate());
        answering.note(lane, true);
        answering.note(other, true);
        assert_eq!(answering.of(&[lane, other]), [lane, other]);
        answering.note(other, false);
        assert_eq!(answering.of(&[lane, other]), [lane]);
        tokio::time::advance(LATELY).await;
        assert!(answering.of(&[lane, other]).is_empty());
    }
}
