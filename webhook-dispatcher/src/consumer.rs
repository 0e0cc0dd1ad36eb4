//! What a delivery nudge does: claim the lane's oldest due delivery and send it.

use std::sync::Arc;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::attempt::claim;
use crate::context::Context;
use crate::deliver::deliver;

/// Handles delivery nudges.
pub struct DeliveryHandler(Arc<Context>);

impl DeliveryHandler {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

impl Handler for DeliveryHandler {
    async fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, DbError> {
        let mut conn = self.0.db.get().await?;
        let Some(claimed) = claim(&mut conn, &self.0.dispatcher, id.into()).await? else {
            return Ok(Some(permit));
        };
        let context = Arc::clone(&self.0);
        self.0.lifecycle.spawn(async move {
            deliver(&context, &claimed, id.into()).await;
            drop(permit);
        });
        Ok(None)
    }
}
