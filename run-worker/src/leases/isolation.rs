//! Tells a run that kills workers from its neighbours. A run that lost a worker since its last recorded step
//! is a suspect (`losses > 0`). A worker takes one suspect at a time: the next one when that one has recorded
//! a step, or has lived for a while. If the next loss would end the run, a worker takes it only while it
//! holds nothing else, and for a while it starts nothing beside it: the run is isolated. Only a loss during
//! that time counts as the last one, because the run alone explains it. After a later loss the run is
//! isolated for twice as long. So a run that kills its worker late ends too, and an honest one does not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::runs::Fence;
use tokio::sync::{OwnedSemaphorePermit, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// After this many losses without a recorded step between them, the run fails: it kills the workers.
pub const MAX_LOSSES: i32 = 3;

/// How long a suspect keeps other suspects from its worker: 1 s with the default lease. It is short, because
/// the neighbours of one fault all become suspects and must not wait long for each other.
#[must_use]
pub fn probation(lease: Duration) -> Duration {
    lease / 30
}

/// The third attempt of a run is its first isolated one.
pub(super) const FIRST_ISOLATED: i32 = 3;
pub(super) const MAX_DOUBLINGS: i32 = 6;
/// From this attempt on a loss counts as the last one although the run was not isolated. Otherwise a fleet
/// without an empty worker would lose a worker to the run again and again. The run was the only suspect.
pub(super) const LAST_BESIDE_OTHERS: i32 = 6;

/// How long an isolated run keeps all other runs from its worker: 20 s with the default lease, and at most 21
/// min after many losses. It is bounded, so that a run which hangs cannot block a worker.
#[must_use]
pub fn isolation(lease: Duration, attempt: i32) -> Duration {
    lease * 2 / 3 * (1 << (attempt - FIRST_ISOLATED).clamp(0, MAX_DOUBLINGS))
}

/// How many suspects a worker with so many permits takes at once. More than one makes a loss of thousands of
/// runs bearable. Their last chance is exact in any case.
#[must_use]
pub fn suspects_at_once(permits: usize) -> i32 {
    i32::try_from(permits / 16).unwrap_or(i32::MAX).clamp(1, 32)
}

/// How long a run on its last chance waits for a worker that holds nothing else. On a busy fleet there may be
/// none. Then the run is taken beside others.
#[must_use]
pub fn patience(lease: Duration) -> Duration {
    lease * 4
}

/// Whether the next loss of a run with these losses ends it.
#[must_use]
pub const fn is_last_chance(losses: i32) -> bool {
    losses == MAX_LOSSES - 1
}

/// The isolated run of this worker, if there is one.
#[derive(Default)]
pub struct Isolation {
    /// Claims hold it together, a takeover holds it alone. So no claim is in flight when a run is isolated.
    starting: RwLock<()>,
    state: Mutex<Option<Isolated>>,
}

struct Isolated {
    /// A later attempt of the same run is another isolation.
    fence: Fence,
    /// Without permits the worker consumes no nudge, so other workers get them.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Isolation {
    /// Waits until no takeover is in flight. Returns `None` while a run is isolated.
    pub async fn claim(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let guard = self.starting.read().await;
        (!self.is_on()).then_some(guard)
    }

    /// Waits until no claim and no other takeover is in flight.
    pub async fn take_over(&self) -> RwLockWriteGuard<'_, ()> {
        self.starting.write().await
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.lock().is_some()
    }

    /// Isolates the run. Call it while the takeover is in flight.
    pub fn begin(&self, fence: Fence) {
        metrics::counter!("capi_runs_isolated_total").increment(1);
        let Fence { run, attempt, .. } = fence;
        tracing::warn!(run_id = %run, attempt, "isolating a run that may kill its worker");
        *self.lock() = Some(Isolated { fence, permits: Vec::new() });
    }

    /// Keeps permits until the isolation ends. Returns them if no run is isolated.
    pub fn keep(&self, permits: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        match &mut *self.lock() {
            Some(isolated) => {
                isolated.permits.push(permits);
                None
            }
            None => Some(permits),
        }
    }

    /// Ends the isolation of this attempt. Returns false if it is not isolated.
    pub fn end(&self, fence: Fence) -> bool {
        let mut state = self.lock();
        let ended = state.take_if(|isolated| isolated.fence == fence);
        drop(state);
        ended.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Isolated>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::ids::RunId;
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn nothing_starts_beside_an_isolated_run() {
        let of = |run, attempt| Fence { run, attempt, claim: Uuid::new_v4() };
        let (isolation, run) = (Isolation::default(), of(RunId::generate(), 3));
        let permits = Arc::new(Semaphore::new(2));
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let permit = isolation.keep(permit).expect("nothing is isolated");
        assert!(isolation.claim().await.is_some());
        isolation.begin(run);
        assert!(isolation.claim().await.is_none());
        assert!(isolation.keep(permit).is_none());
        assert!(!isolation.end(of(RunId::generate(), 3)), "another run changes nothing");
        assert!(!isolation.end(of(run.run, 2)), "an earlier attempt changes nothing");
        assert_eq!(permits.available_permits(), 1);
        assert!(isolation.end(run));
        assert_eq!(permits.available_permits(), 2);
        assert!(isolation.claim().await.is_some());
    }
}
