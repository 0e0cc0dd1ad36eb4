//! What a delivery nudge does: claim the lane's oldest due delivery and send it.

use std::sync::Arc;

use shared::db::DbError;
use shared::queue::Handler;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
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
        let (context, sent) = (Arc::clone(&self.0), Instant::now());
        let by = &self.0.dispatcher;
        let claiming = self.0.db.write(|mut conn| async move { claim(&mut conn, by, id.into()).await });
        let Some(claimed) = claiming.await? else {
            return Ok(Some(permit));
        };
        self.0.lifecycle.spawn(async move {
            deliver(&context, &claimed, id.into(), sent).await;
            drop(permit);
        });
        Ok(None)
    }
}
