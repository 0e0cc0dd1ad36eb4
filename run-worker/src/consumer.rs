//! What a run nudge does: claim the user's oldest pending run and execute it.

use std::sync::Arc;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::claim;
use crate::context::Context;
use crate::execute::spawn;

/// Handles run nudges.
pub struct RunHandler(Arc<Context>);

impl RunHandler {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

impl Handler for RunHandler {
    async fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, DbError> {
        let sent = Instant::now();
        let mut conn = self.0.db.get().await?;
        let Some(claimed) = claim(&mut conn, &self.0.claimant, id.into()).await? else {
            metrics::counter!("capi_run_nudges_total", "outcome" => "nothing").increment(1);
            return Ok(Some(permit));
        };
        metrics::counter!("capi_run_nudges_total", "outcome" => "claimed").increment(1);
        spawn(&self.0, claimed, sent, permit);
        Ok(None)
    }
}
