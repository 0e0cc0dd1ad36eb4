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
    hold_unless(move || store.is_ready(), permits, all, lifecycle);
}

fn hold_unless(
    is_ready: impl Fn() -> bool + Send + Sync + 'static,
    permits: &Arc<Semaphore>,
    all: u32,
    lifecycle: &Lifecycle,
) {
    let (permits, stopping) = (Arc::clone(permits), lifecycle.stopping().clone());
    let take_now = || Arc::clone(&permits).try_acquire_many_owned(all).ok();
    let mut held = if is_ready() { None } else { take_now() };
    lifecycle.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = stopping.cancelled() => return,
            }
            if is_ready() {
                held = None;
            } else if held.is_none() {
                // The semaphore is fair: a wait that went on would keep released permits from all others.
                let again_ready = async {
                    while !is_ready() {
                        tokio::time::sleep(POLL).await;
                    }
                };
                tokio::select! {
                    taken = Arc::clone(&permits).acquire_many_owned(all) => held = taken.ok(),
                    () = again_ready => {}
                    () = stopping.cancelled() => return,
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_are_free_again_when_the_store_is_back() {
        let (permits, ready) = (Arc::new(Semaphore::new(2)), Arc::new(AtomicBool::new(true)));
        let (lifecycle, running) = (Lifecycle::default(), Arc::clone(&permits).try_acquire_owned().unwrap());
        let read = Arc::clone(&ready);
        hold_unless(move || read.load(Ordering::Relaxed), &permits, 2, &lifecycle);
        // A run holds a permit, so the guard waits for it.
        ready.store(false, Ordering::Relaxed);
        tokio::time::sleep(POLL * 3).await;
        assert!(permits.try_acquire().is_err());
        ready.store(true, Ordering::Relaxed);
        tokio::time::sleep(POLL * 3).await;
        drop(permits.try_acquire().expect("the guard no longer waits"));
        // The run ends while the store is away again.
        ready.store(false, Ordering::Relaxed);
        tokio::time::sleep(POLL * 3).await;
        drop(running);
        tokio::time::sleep(POLL * 3).await;
        assert!(permits.try_acquire().is_err());
        ready.store(true, Ordering::Relaxed);
        tokio::time::sleep(POLL * 3).await;
        assert_eq!(permits.available_permits(), 2);
        lifecycle.stop().await;
    }
}
