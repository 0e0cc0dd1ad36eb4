//! What the other processes tell all workers: a run was cancelled, a lease is free.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Broker, BrokerHealth, Received, Topic, subscribe};
use tokio::sync::watch;

use crate::leases::Leases;
use crate::reaper::Reaper;

/// Listens until no task is left that could hold a run: those go on for a while in a stopping process.
pub(crate) fn hear(
    broker: Broker,
    leases: Leases,
    reaper: Arc<Reaper>,
    lifecycle: &Lifecycle,
) -> BrokerHealth {
    let (_, wanted) = watch::channel(BTreeSet::from([Topic::Cancels, Topic::ReleasedLeases]));
    let receive = move |received| match received {
        Received::Broadcast(Broadcast::RunCancelled(run)) => leases.suspect(run),
        Received::Subscribed(Topic::Cancels) => leases.suspect_all(),
        Received::Broadcast(Broadcast::LeaseReleased(_)) | Received::Subscribed(Topic::ReleasedLeases) => {
            reaper.request_poll();
        }
        // Heartbeat and reaper look as often as what is bound is bound again.
        Received::Resubscribed(_)
        | Received::Broadcast(Broadcast::RunChanged(_))
        | Received::Subscribed(Topic::Runs(_)) => {}
    };
    let (health, listening) = subscribe(broker, wanted, receive, lifecycle.flushing().clone());
    lifecycle.spawn_last(listening);
    health
}
