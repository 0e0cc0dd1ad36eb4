//! The consumer's calls of its handler: all nudges of a batch together and, if PostgreSQL rejects that, each
//! nudge alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Handled, Handler, Nudge, QueueError, WorkQueue};
use crate::db::DbError;
use crate::lifecycle::Lifecycle;

const NO_SPACE_PAUSE: Duration = Duration::from_millis(500);
/// Nudges of a call that may meet a lock timeout, which takes seconds. The others are nudged again.
const MOST_LOCK_TIMEOUTS: usize = 2;

/// What a call left.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) handled: Handled,
    /// Whether the call started work.
    pub(super) started: bool,
}

pub(super) struct Calls<H> {
    queue: WorkQueue,
    handler: Arc<H>,
    permits: Arc<Semaphore>,
    lifecycle: Lifecycle,
}

impl<H: Handler> Calls<H> {
    pub(super) fn new(
        queue: WorkQueue,
        handler: Arc<H>,
        permits: Arc<Semaphore>,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { queue, handler, permits, lifecycle }
    }

    /// If PostgreSQL rejects the call, each nudge is handled alone, so that a bad row fails only its own.
    pub(super) async fn handle_all(
        &self,
        nudges: Vec<Nudge>,
        permits: OwnedSemaphorePermit,
    ) -> Result<Result<Left, DbError>, QueueError> {
        if nudges.is_empty() {
            let handled = Handled { unused: Some(permits), again: Vec::new() };
            return Ok(Ok(Left { handled, started: false }));
        }
        match self.handle(nudges.clone(), permits).await? {
            Err(error) if error.is_away() => Ok(Err(error)),
            Err(error) if nudges.len() == 1 || would_fail_again(&error) => {
                self.give_up(&nudges, &error).await;
                Ok(Ok(Left::default()))
            }
            Err(error) => {
                metrics::counter!("capi_database_sets_failed_total", "call" => "handle_nudges").increment(1);
                tracing::warn!(
                    queue = self.queue.as_str(), nudges = nudges.len(), %error,
                    "failed to handle nudges together; handling them one by one"
                );
                self.handle_each(nudges).await
            }
            left => Ok(left),
        }
    }

    async fn handle_each(&self, nudges: Vec<Nudge>) -> Result<Result<Left, DbError>, QueueError> {
        let (mut all, mut has_outage, mut lock_timeouts) = (Left::default(), false, 0);
        for nudge in nudges {
            let Handled { unused, again } = &mut all.handled;
            let permit = unused.take().or_else(|| Arc::clone(&self.permits).try_acquire_owned().ok());
            let may_go_on = !has_outage && lock_timeouts < MOST_LOCK_TIMEOUTS;
            let Some(permit) = permit.filter(|_| may_go_on) else {
                again.push(nudge);
                continue;
            };
            match self.handle(vec![nudge], permit).await? {
                Ok(left) => {
                    *unused = left.handled.unused;
                    again.extend(left.handled.again);
                    all.started |= left.started;
                }
                Err(error) if error.is_away() => return Ok(Err(error)),
                Err(error) => {
                    self.give_up(&[nudge], &error).await;
                    has_outage = would_fail_again(&error);
                    lock_timeouts += usize::from(error.is_lock_timeout());
                }
            }
        }
        Ok(Ok(all))
    }

    /// Nudges that PostgreSQL rejects are acknowledged. Requeued ones would only delay the others, and the
    /// sweeper tries again.
    async fn give_up(&self, nudges: &[Nudge], error: &DbError) {
        metrics::counter!("capi_nudges_failed_total").increment(u64::try_from(nudges.len()).unwrap_or(0));
        let ids: Vec<_> = nudges.iter().map(|nudge| nudge.id).collect();
        tracing::error!(queue = self.queue.as_str(), ?ids, %error, "failed to handle a nudge");
        if would_fail_again(error) {
            // The database has no disk or memory left: the next nudge would fail too.
            tokio::time::sleep(NO_SPACE_PAUSE).await;
        }
    }

    /// Spawns a task: a broken connection ends this session, and must not stop a claim between its commit
    /// and the start of the work.
    async fn handle(
        &self,
        nudges: Vec<Nudge>,
        permits: OwnedSemaphorePermit,
    ) -> Result<Result<Left, DbError>, QueueError> {
        let (handler, given) = (Arc::clone(&self.handler), permits.num_permits());
        let handling = self.lifecycle.spawn(async move { handler.handle(nudges, permits).await });
        let answered = handling.await.map_err(|_| QueueError::HandlerFailed(self.queue.as_str()))?;
        Ok(answered.map(|Handled { unused, again }| {
            let unused = unless_empty(unused);
            let started = unused.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) < given;
            Left { handled: Handled { unused, again }, started }
        }))
    }

    /// Spawns a task for the same reason as [`Self::handle`].
    pub(super) async fn poll(
        &self,
        permits: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let polling = self.lifecycle.spawn(async move { handler.poll(permits).await });
        polling.await.map(unless_empty).map_err(|_| QueueError::HandlerFailed(self.queue.as_str()))
    }

    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.handler.poll_interval()
    }
}

/// Handlers split all their permits off and return the rest. Without a place, the next call would find no
/// work, and its nudges would be lost.
fn unless_empty(permits: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
    permits.filter(|permits| permits.num_permits() > 0)
}

/// Whether the database has no disk or memory left, so that other nudges fail too. A lock concerns few of
/// them.
fn would_fail_again(error: &DbError) -> bool {
    error.is_outage() && !error.is_lock_timeout()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;

    /// The database answers each call with this id with `error`. A call keeps one permit if `starts`, and
    /// returns the rest, even if that is none.
    struct Rejecting {
        id: Uuid,
        error: fn() -> DbError,
        starts: bool,
        calls: Mutex<Vec<usize>>,
    }

    impl Handler for Rejecting {
        async fn handle(
            &self,
            nudges: Vec<Nudge>,
            mut permits: OwnedSemaphorePermit,
        ) -> Result<Handled, DbError> {
            assert!(permits.num_permits() > 0, "a call without places would lose its nudges");
            self.calls.lock().unwrap().push(nudges.len());
            if nudges.iter().any(|nudge| nudge.id == self.id) {
                return Err((self.error)());
            }
            if self.starts {
                permits.split(1).unwrap().forget();
            }
            Ok(Handled { unused: Some(permits), again: Vec::new() })
        }
    }

    fn rejected() -> DbError {
        DbError::Query(diesel::result::Error::NotFound)
    }

    fn lock_timeout() -> DbError {
        let message = "canceling statement due to lock timeout".to_owned();
        let kind = diesel::result::DatabaseErrorKind::Unknown;
        DbError::Query(diesel::result::Error::DatabaseError(kind, Box::new(message)))
    }

    /// Handles three nudges with four permits.
    async fn handle_three(bad: usize, error: fn() -> DbError, starts: bool) -> (Vec<usize>, Left, usize) {
        let ids: [_; 3] = std::array::from_fn(|_| Uuid::now_v7());
        let handler = Arc::new(Rejecting { id: ids[bad], error, starts, calls: Mutex::default() });
        let permits = Arc::new(Semaphore::new(4));
        let calls =
            Calls::new(WorkQueue::Runs, Arc::clone(&handler), Arc::clone(&permits), Lifecycle::default());
        let all = Arc::clone(&permits).try_acquire_many_owned(4).unwrap();
        let mut left = calls.handle_all(ids.map(Nudge::new).to_vec(), all).await.unwrap().unwrap();
        drop(left.handled.unused.take());
        let sizes = handler.calls.lock().unwrap().clone();
        (sizes, left, permits.available_permits())
    }

    #[tokio::test]
    async fn a_nudge_that_the_database_rejects_fails_alone() {
        let (calls, left, permits) = handle_three(1, rejected, false).await;
        assert_eq!(calls, [3, 1, 1, 1]);
        assert!(left.handled.again.is_empty() && !left.started);
        assert_eq!(permits, 4, "no permit is lost");
    }

    #[tokio::test]
    async fn each_of_the_other_nudges_gets_a_permit_of_its_own() {
        let (calls, left, permits) = handle_three(0, rejected, true).await;
        assert_eq!(calls, [3, 1, 1, 1]);
        assert!(left.handled.again.is_empty() && left.started);
        assert_eq!(permits, 2, "two started");
    }

    #[tokio::test]
    async fn a_lock_timeout_costs_the_other_nudges_nothing() {
        let (calls, left, permits) = handle_three(2, lock_timeout, true).await;
        assert_eq!(calls, [3, 1, 1, 1]);
        assert!(left.handled.again.is_empty() && left.started);
        assert_eq!(permits, 2);
    }

    #[tokio::test]
    async fn without_a_permit_the_rest_of_a_rejected_call_is_nudged_again() {
        let ids: [_; 2] = std::array::from_fn(|_| Uuid::now_v7());
        let handler = Rejecting { id: ids[0], error: rejected, starts: false, calls: Mutex::default() };
        let none = Arc::new(Semaphore::new(0));
        let calls = Calls::new(WorkQueue::Runs, Arc::new(handler), none, Lifecycle::default());
        let elsewhere = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let left = calls.handle_all(ids.map(Nudge::new).to_vec(), elsewhere).await.unwrap().unwrap();
        assert_eq!(left.handled.again, ids.map(Nudge::new));
        assert!(!left.started);
    }
}
