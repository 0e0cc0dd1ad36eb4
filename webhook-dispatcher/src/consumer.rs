//! Handles delivery nudges: claims due deliveries of all their lanes at once and starts to deliver them. A
//! permit then serves the next due deliveries of its lane, so that a backlog needs no nudge for each.
//!
//! Read `take` next, and then `deliver`: it is one delivery attempt, top to bottom.

use std::sync::Arc;

use shared::db::DbError;
use shared::ids::LaneId;
use shared::queue::{Handled, Handler, Nudge, WorkQueue};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use crate::context::Context;
use crate::deliver::deliver;
use crate::locked_lanes::LockedLanes;
use crate::take::Leased;

/// Deliveries that a permit serves in a row. Then the lane waits in the queue, behind other lanes.
const IN_A_ROW: usize = 20;

pub struct DeliveryHandler {
    context: Arc<Context>,
    locked: LockedLanes,
}

impl DeliveryHandler {
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, locked: LockedLanes::default() }
    }

    /// Takes the next delivery of a locked lane with this permit, as soon as the lock is free.
    fn wait_for(&self, lane: LaneId, permit: OwnedSemaphorePermit) {
        let (context, locked) = (Arc::clone(&self.context), self.locked.clone());
        self.context.lifecycle.spawn(async move {
            let taken = context.next.call(lane).await;
            locked.end(lane);
            // Nudges that came meanwhile were dropped.
            context.taker.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
            match taken {
                Ok(Some(leased)) => serve(&context, leased).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, lane_id = %lane, "failed to claim of a locked lane"),
            }
            drop(permit);
        });
    }
}

impl Handler for DeliveryHandler {
    /// The counts of the nudges do not matter: a lane gives what is due, as far as its share allows.
    async fn handle(
        &self,
        nudges: Vec<Nudge>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<Handled, DbError> {
        let lanes: Vec<LaneId> = nudges.into_iter().map(|nudge| nudge.id.into()).collect();
        let taken = self.context.taker.take(&lanes, permits.num_permits(), false).await?;
        for leased in taken.deliveries {
            let (context, permit) = (Arc::clone(&self.context), permits.split(1));
            self.context.lifecycle.spawn(async move {
                serve(&context, leased).await;
                drop(permit);
            });
        }
        let mut again: Vec<_> = taken.more.into_iter().map(|lane| Nudge::new(lane.uuid())).collect();
        for lane in taken.locked {
            if permits.num_permits() == 0 {
                // It comes back when a permit is free.
                again.push(Nudge::new(lane.uuid()));
            } else if self.locked.begin(lane)
                && let Some(permit) = permits.split(1)
            {
                self.wait_for(lane, permit);
            }
        }
        Ok(Handled { unused: Some(permits), again })
    }
}

/// Delivers what is claimed, and then more of the lane while permits are free.
async fn serve(context: &Context, first: Leased) {
    let mut leased = first;
    for served in 1.. {
        let (claimed, lane) = (&leased.claimed, leased.claimed.lane_id);
        let span = tracing::error_span!(
            "delivery", delivery_id = %claimed.id, run_id = claimed.run_id.map(tracing::field::display),
            user_id = %claimed.user_id, request_id = claimed.request_id,
        );
        if !deliver(context, leased).instrument(span).await {
            return;
        }
        let is_stopping = context.lifecycle.stopping().is_cancelled();
        if served < IN_A_ROW && !is_stopping && !context.taker.shares.are_used_up(1) {
            match context.next.call(lane).await {
                Ok(Some(next)) => {
                    leased = next;
                    continue;
                }
                // Or the user holds its half. The sweeper nudges the lane again.
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, lane_id = %lane, "failed to claim the lane's next delivery");
                }
            }
        }
        // The lane may have more due deliveries.
        context.taker.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        return;
    }
}
