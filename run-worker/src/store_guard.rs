//! A worker with the store of another installation takes no runs: it would not find their files.

use std::sync::Arc;
use std::time::Duration;

use shared::lifecycle::Lifecycle;
use shared::storage::StoreOwner;
use tokio::sync::Semaphore;

const POLL: Duration = Duration::from_secs(1);

/// Holds all permits while the store belongs to another installation. Call it before anything else takes
/// permits. If a running worker loses its store, the permits that wait for nudges may still start runs.
pub(crate) fn hold(store: StoreOwner, permits: &Arc<Semaphore>, all: u32, lifecycle: &Lifecycle) {
    let (permits, stopping) = (Arc::clone(permits), lifecycle.stopping().clone());
    let take_now = || Arc::clone(&permits).try_acquire_many_owned(all).ok();
    let mut held = if store.is_ready() { None } else { take_now() };
    lifecycle.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = stopping.cancelled() => return,
            }
            if store.is_ready() {
                held = None;
            } else if held.is_none() {
                tokio::select! {
                    taken = Arc::clone(&permits).acquire_many_owned(all) => held = taken.ok(),
                    () = stopping.cancelled() => return,
                }
            }
        }
    });
}
