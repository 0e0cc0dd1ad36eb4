//! Handles a run nudge: claims the user's oldest pending run and starts it. At each poll interval a slot
//! first takes expired leases over, because on a busy worker the slots hold all permits.
//!
//! Read `execute` next: it is one run, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::context::Context;
use crate::execute;
use crate::leases::store::claim;
use crate::leases::takeover::Reaper;

pub struct RunHandler {
    context: Arc<Context>,
    reaper: Arc<Reaper>,
}

impl RunHandler {
    #[must_use]
    pub fn new(context: Arc<Context>, reaper: Arc<Reaper>) -> Self {
        Self { context, reaper }
    }
}

impl Handler for RunHandler {
    async fn handle(
        &self,
        user: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, DbError> {
        let context = &self.context;
        let by = &context.leases.claimant;
        let Some(_claiming) = context.leases.isolation.claim().await else {
            // The nudge came before the slots gave their permits to the isolated run. The sweeper repeats it.
            metrics::counter!("capi_run_nudges_total", "outcome" => "isolated").increment(1);
            return Ok(context.leases.isolation.keep(permit));
        };
        let sent = Instant::now();
        let claiming = context.db.write(|mut conn| async move { claim(&mut conn, by, user.into()).await });
        let Some(claimed) = claiming.await? else {
            metrics::counter!("capi_run_nudges_total", "outcome" => "nothing").increment(1);
            return Ok(Some(permit));
        };
        metrics::counter!("capi_run_nudges_total", "outcome" => "claimed").increment(1);
        execute::spawn(context, claimed, sent, permit);
        Ok(None)
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(self.reaper.poll_interval())
    }

    fn poll_requests(&self) -> Option<watch::Receiver<u64>> {
        Some(self.reaper.poll_requests())
    }

    async fn poll(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        self.reaper.poll(permit).await.filter(|unused| unused.num_permits() > 0)
    }
}
