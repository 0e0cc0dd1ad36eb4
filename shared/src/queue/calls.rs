//! The consumer's calls of its handler: all nudges of a batch together and, if PostgreSQL rejects that, each
//! nudge alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Handled, Handler, Nudge, QueueError, WorkQueue};
use crate::db::DbError;
use crate::lifecycle::Lifecycle;

const NO_SPACE_PAUSE: Duration = Duration::from_millis(500);

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
    ) -> Result<Result<Handled, DbError>, QueueError> {
        if nudges.is_empty() {
            return Ok(Ok(Handled { unused: Some(permits), again: Vec::new() }));
        }
        match self.handle(nudges.clone(), permits).await? {
            Err(error) if error.is_away() => Ok(Err(error)),
            Err(error) if nudges.len() == 1 || error.is_outage() => {
                self.give_up(&nudges, &error).await;
                Ok(Ok(Handled::default()))
            }
            Err(error) => {
                metrics::counter!("capi_database_sets_failed_total", "call" => "handle_nudges").increment(1);
                tracing::warn!(
                    queue = self.queue.as_str(), nudges = nudges.len(), %error,
                    "failed to handle nudges together; handling them one by one"
                );
                self.handle_each(nudges).await
            }
            handled => Ok(handled),
        }
    }

    async fn handle_each(&self, nudges: Vec<Nudge>) -> Result<Result<Handled, DbError>, QueueError> {
        let (mut all, mut has_outage) = (Handled::default(), false);
        for nudge in nudges {
            let permit = all.unused.take().or_else(|| Arc::clone(&self.permits).try_acquire_owned().ok());
            let Some(permit) = permit.filter(|_| !has_outage) else {
                all.again.push(nudge);
                continue;
            };
            match self.handle(vec![nudge], permit).await? {
                Ok(Handled { unused, again }) => {
                    all.unused = unused;
                    all.again.extend(again);
                }
                Err(error) if error.is_away() => return Ok(Err(error)),
                Err(error) => {
                    self.give_up(&[nudge], &error).await;
                    has_outage = error.is_outage();
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
        if error.is_outage() {
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
    ) -> Result<Result<Handled, DbError>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let handling = self.lifecycle.spawn(async move { handler.handle(nudges, permits).await });
        handling.await.map_err(|_| QueueError::HandlerFailed(self.queue.as_str()))
    }

    /// Spawns a task for the same reason as [`Self::handle`].
    pub(super) async fn poll(
        &self,
        permits: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let polling = self.lifecycle.spawn(async move { handler.poll(permits).await });
        polling.await.map_err(|_| QueueError::HandlerFailed(self.queue.as_str()))
    }

    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.handler.poll_interval()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;

    /// The database rejects each call with this id.
    struct Rejecting {
        id: Uuid,
        calls: Mutex<Vec<usize>>,
    }

    impl Handler for Rejecting {
        async fn handle(
            &self,
            nudges: Vec<Nudge>,
            permits: OwnedSemaphorePermit,
        ) -> Result<Handled, DbError> {
            self.calls.lock().unwrap().push(nudges.len());
            if nudges.iter().any(|nudge| nudge.id == self.id) {
                return Err(DbError::Query(diesel::result::Error::NotFound));
            }
            Ok(Handled { unused: Some(permits), again: Vec::new() })
        }
    }

    #[tokio::test]
    async fn a_nudge_that_the_database_rejects_fails_alone() {
        let ids: [_; 3] = std::array::from_fn(|_| Uuid::now_v7());
        let handler = Arc::new(Rejecting { id: ids[1], calls: Mutex::default() });
        let permits = Arc::new(Semaphore::new(4));
        let calls =
            Calls::new(WorkQueue::Runs, Arc::clone(&handler), Arc::clone(&permits), Lifecycle::default());
        let all = Arc::clone(&permits).try_acquire_many_owned(4).unwrap();
        let answer = calls.handle_all(ids.map(Nudge::new).to_vec(), all).await.unwrap().unwrap();
        assert_eq!(*handler.calls.lock().unwrap(), [3, 1, 1, 1]);
        assert!(answer.again.is_empty());
        drop(answer);
        assert_eq!(permits.available_permits(), 4, "no permit is lost");
    }

    #[tokio::test]
    async fn without_a_permit_the_rest_of_a_rejected_call_is_nudged_again() {
        let ids: [_; 2] = std::array::from_fn(|_| Uuid::now_v7());
        let handler = Arc::new(Rejecting { id: ids[0], calls: Mutex::default() });
        let calls = Calls::new(
            WorkQueue::Runs,
            Arc::clone(&handler),
            Arc::new(Semaphore::new(0)),
            Lifecycle::default(),
        );
        let elsewhere = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let answer = calls.handle_all(ids.map(Nudge::new).to_vec(), elsewhere).await.unwrap().unwrap();
        assert_eq!(answer.again, ids.map(Nudge::new));
    }
}
