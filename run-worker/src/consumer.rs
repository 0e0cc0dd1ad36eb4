//! What a run nudge does: claim the user's oldest pending run and execute it. Every so often a slot looks out for
//! abandoned runs first: on a small worker, and on any busy one, the slots get every permit there is.

use std::sync::Arc;
use std::time::Duration;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::claim;
use crate::context::Context;
use crate::execute::spawn;
use crate::reaper::Reaper;

/// Handles run nudges.
pub struct RunHandler {
    context: Arc<Context>,
    reaper: Arc<Reaper>,
}

impl RunHandler {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>, reaper: Arc<Reaper>) -> Self {
        Self { context, reaper }
    }
}

impl Handler for RunHandler {
    async fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, DbError> {
        let (context, sent) = (&self.context, Instant::now());
        let by = &context.claimant;
        let claiming = context.db.write(|mut conn| async move { claim(&mut conn, by, id.into()).await });
        let Some(claimed) = claiming.await? else {
            metrics::counter!("capi_run_nudges_total", "outcome" => "nothing").increment(1);
            return Ok(Some(permit));
        };
        metrics::counter!("capi_run_nudges_total", "outcome" => "claimed").increment(1);
        spawn(context, claimed, sent, permit);
        Ok(None)
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(self.reaper.poll_interval())
    }

    fn poll_requests(&self) -> Option<watch::Receiver<u64>> {
        Some(self.reaper.poll_requests())
    }

    async fn poll(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        Some(self.reaper.poll(permit).await).filter(|unused| unused.num_permits() > 0)
    }
}
