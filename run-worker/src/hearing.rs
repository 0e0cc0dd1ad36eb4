//! What the other processes tell all workers: a run was cancelled, a lease is free.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::lifecycle::Lifecycle;
use shared::queue::{Broker, BrokerHealth, Heard, News, Topic, listen};
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
    let (_, wanted) = watch::channel(BTreeSet::from([Topic::Cancels, Topic::FreeLeases]));
    let heard = move |heard| match heard {
        Heard::News(News::Cancelled(run)) => leases.suspect(run),
        Heard::Listening(Topic::Cancels) => leases.suspect_all(),
        Heard::News(News::LeaseFree(_)) | Heard::Listening(Topic::FreeLeases) => reaper.look_soon(),
        // Heartbeat and reaper look as often as what is bound is bound again.
        Heard::BoundAgain(_) | Heard::News(News::Happened(_)) | Heard::Listening(Topic::Runs(_)) => {}
    };
    let (health, listening) = listen(broker, wanted, heard, lifecycle.flushing().clone());
    lifecycle.spawn_last(listening);
    health
}
