//! Finds workers of this machine that died together with their supervisor, and ends their leases. The lock of
//! a worker's directory is free when the worker is dead, and only then. Workers that share no directory, or
//! do not see each other's processes, never find each other: there the leases expire.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::queue::Broadcast;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use uuid::Uuid;

use super::LeaseContext;
use super::store::end_leases_of;
use crate::sandbox::has_processes;
use crate::workspace::{Abandoned, Home};

/// How often to look for free locks. A look reads one directory.
const LOOK: Duration = Duration::from_secs(1);
/// How long a dead worker's directory stays. Meanwhile the workers of other installations find it too: only
/// theirs may know the worker. Each look ends its leases again: PostgreSQL may execute a claim or a renewal
/// that the worker had sent, until it notices that the client is dead.
const KEPT: Duration = Duration::from_secs(10);
/// Between two tries to remove such a directory.
const REMOVAL_PAUSE: Duration = Duration::from_mins(1);

/// A dead worker whose leases have been ended.
struct Handled {
    since: Instant,
    remove_at: Instant,
}

/// Looks until the process stops.
pub async fn run(context: Arc<LeaseContext>, home: Arc<Home>) {
    let mut handled: HashMap<PathBuf, Handled> = HashMap::new();
    loop {
        let looking = Arc::clone(&home);
        let dead = spawn_blocking(move || looking.abandoned()).await.unwrap_or_default();
        handled.retain(|dir, _| dead.iter().any(|found| found.dir == *dir));
        for found in dead {
            let now = Instant::now();
            let known = handled.get_mut(&found.dir);
            if known.as_ref().is_none_or(|known| now < known.since + KEPT) {
                if is_handled(&context, &found).await {
                    handled.entry(found.dir).or_insert(Handled { since: now, remove_at: now + KEPT });
                }
            } else if let Some(known) = known.filter(|known| now >= known.remove_at) {
                known.remove_at = now + REMOVAL_PAUSE;
                tracing::info!(path = %found.dir.display(), "removing the directory of a dead worker");
                let removing = Arc::clone(&home);
                let _ = spawn_blocking(move || removing.remove(&found.dir)).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
    }
}

/// Ends the leases of a dead worker, if it is known that its commands have ended: two attempts must never run
/// commands at once. Returns whether nothing is left to do.
async fn is_handled(context: &LeaseContext, found: &Abandoned) -> bool {
    let Some(worker) = &found.worker else { return true };
    let dir = found.dir.clone();
    let is_empty = spawn_blocking(move || !has_processes(&dir)).await.unwrap_or(false);
    is_empty && end_leases(context, worker).await
}

/// Returns false if the database did not answer. The next look repeats it. It may wait for locked rows, so it
/// does not use the connections of renewals.
async fn end_leases(context: &LeaseContext, dead: &str) -> bool {
    match context.db.write(|mut conn| async move { end_leases_of(&mut conn, dead).await }).await {
        Ok(0) => true,
        Ok(leases) => {
            metrics::counter!("capi_dead_neighbours_total").increment(1);
            tracing::warn!(dead_worker = dead, leases, "ended the leases of a dead worker of this machine");
            context.request_poll();
            context.publisher.broadcast(Broadcast::LeaseReleased(Uuid::nil().into()));
            true
        }
        Err(error) => {
            tracing::warn!(dead_worker = dead, %error, "failed to end the leases of a dead worker");
            false
        }
    }
}
