//! Handles a delivery nudge: claims the lane's oldest due delivery and starts to deliver it.
//!
//! Read `deliver` next: it is one delivery attempt, top to bottom.

use std::sync::Arc;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::attempt::claim;
use crate::context::Context;
use crate::deliver::deliver;

pub struct DeliveryHandler(Arc<Context>);

impl DeliveryHandler {
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

impl Handler for DeliveryHandler {
    async fn handle(
        &self,
        lane: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, DbError> {
        // Before the claim: the database starts the lease at some later moment.
        let lease_start = Instant::now();
        let context = Arc::clone(&self.0);
        let owner = &self.0.dispatcher;
        let claim = self.0.db.write(|mut conn| async move { claim(&mut conn, owner, lane.into()).await });
        let Some(claimed) = claim.await? else {
            return Ok(Some(permit));
        };
        let span = tracing::error_span!(
            "delivery", delivery_id = %claimed.id, run_id = claimed.run_id.map(tracing::field::display),
            user_id = %claimed.user_id, request_id = claimed.request_id,
        );
        let task = async move {
            deliver(&context, &claimed, lane.into(), lease_start).await;
            drop(permit);
        };
        self.0.lifecycle.spawn(task.instrument(span));
        Ok(None)
    }
}
