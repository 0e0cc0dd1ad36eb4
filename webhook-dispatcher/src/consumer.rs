//! Handles a delivery nudge: claims the lane's oldest due delivery and starts to deliver it. Its permit then
//! serves the lane's next due deliveries, so that a backlog needs no nudge for each.
//!
//! Read `deliver` next: it is one delivery attempt, top to bottom.

use std::sync::Arc;

use shared::db::DbError;
use shared::queue::{Handler, WorkQueue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::attempt::{self, Claimed};
use crate::context::Context;
use crate::deliver::deliver;

/// Deliveries that a permit serves in a row. Then the lane waits in the queue, behind other lanes.
const IN_A_ROW: usize = 20;

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
        let Some(first) = claim(&self.0, lane).await? else {
            return Ok(Some(permit));
        };
        let context = Arc::clone(&self.0);
        self.0.lifecycle.spawn(async move {
            serve(&context, lane, first).await;
            drop(permit);
        });
        Ok(None)
    }
}

struct Leased {
    claimed: Claimed,
    /// Not later than the start of the lease.
    since: Instant,
}

async fn claim(context: &Context, lane: Uuid) -> Result<Option<Leased>, DbError> {
    // Before the claim: the database starts the lease at some later moment.
    let since = Instant::now();
    let (owner, offer) = (&context.dispatcher, context.shares.offer(context.permits.available_permits()));
    let offer = &offer;
    let claiming = context
        .db
        .write(|mut conn| async move { attempt::claim(&mut conn, owner, lane.into(), offer).await });
    let claimed = claiming.await?;
    if claimed.as_ref().is_some_and(|claimed| claimed.more) {
        context.publisher.nudge(WorkQueue::Deliveries, lane);
    }
    Ok(claimed.map(|claimed| Leased { claimed, since }))
}

/// Delivers what is claimed, and then more of the lane while permits are free.
async fn serve(context: &Arc<Context>, lane: Uuid, first: Leased) {
    let mut leased = first;
    for served in 1.. {
        let Leased { claimed, since } = leased;
        let span = tracing::error_span!(
            "delivery", delivery_id = %claimed.id, run_id = claimed.run_id.map(tracing::field::display),
            user_id = %claimed.user_id, request_id = claimed.request_id,
        );
        let share = context.shares.hold(claimed.user_id, claimed.is_doubtful());
        let is_recorded = deliver(context, &claimed, since).instrument(span).await;
        drop(share);
        if !is_recorded {
            return;
        }
        let is_stopping = context.lifecycle.stopping().is_cancelled();
        if served >= IN_A_ROW || is_stopping || context.permits.available_permits() == 0 {
            break;
        }
        match claim(context, lane).await {
            Ok(Some(next)) => leased = next,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, lane_id = %lane, "failed to claim the lane's next delivery");
                break;
            }
        }
    }
    // The lane may have more due deliveries.
    context.publisher.nudge(WorkQueue::Deliveries, lane);
}
