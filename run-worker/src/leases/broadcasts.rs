//! Receives the broadcasts for workers: a run was cancelled, a lease was released, a run has streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::queue::{Broadcast, Broker, BrokerHealth, Received, Topic};
use tokio::sync::watch;

use super::LeaseContext;

/// Subscribes until no task is left that could hold a run. In a stopping process, such tasks continue for a
/// while.
pub fn subscribe(broker: Broker, context: &Arc<LeaseContext>) -> BrokerHealth {
    let (_, topics) = watch::channel(BTreeSet::from([Topic::Cancels, Topic::ReleasedLeases, Topic::Watched]));
    let (leases, polled) = (context.held.clone(), Arc::clone(context));
    let receive = move |received| match received {
        Received::Broadcast(Broadcast::RunCancelled(run)) => leases.suspect(run),
        Received::Subscribed(Topic::Cancels) => leases.suspect_all(),
        // The workers that can execute it come first.
        Received::Broadcast(Broadcast::LeaseReleased(run)) if polled.elsewhere.has(run) => {}
        Received::Broadcast(Broadcast::LeaseReleased(_)) | Received::Subscribed(Topic::ReleasedLeases) => {
            polled.request_poll();
        }
        Received::Watched(watched) => polled.watched.receive(&watched),
        // The heartbeat and the reaper read the rows as often as the topics are bound again.
        Received::Resubscribed(_)
        | Received::Broadcast(Broadcast::RunChanged(_))
        | Received::Subscribed(Topic::Runs(_) | Topic::Watched | Topic::Words(_))
        | Received::Words(_) => {}
    };
    let stopping = context.lifecycle.flushing().clone();
    let (health, subscribing) = shared::queue::subscribe(broker, topics, receive, stopping);
    context.lifecycle.spawn_last(subscribing);
    health
}
