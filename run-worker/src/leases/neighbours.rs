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
/// theirs may know the worker.
const KEPT: Duration = Duration::from_secs(10);

/// Looks until the process stops.
pub async fn run(context: Arc<LeaseContext>, home: Arc<Home>) {
    // Since when the leases of these dead workers have been ended.
    let mut handled: HashMap<PathBuf, Instant> = HashMap::new();
    loop {
        let looking = Arc::clone(&home);
        let dead = spawn_blocking(move || looking.abandoned()).await.unwrap_or_default();
        handled.retain(|dir, _| dead.iter().any(|found| found.dir == *dir));
        for found in dead {
            let since = handled.get(&found.dir).copied();
            if since.is_none() && is_handled(&context, &found).await {
                handled.insert(found.dir, Instant::now());
            } else if since.is_some_and(|since| since.elapsed() >= KEPT) {
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

/// Returns false if the database did not answer. The next look repeats it.
async fn end_leases(context: &LeaseContext, dead: &str) -> bool {
    match context.lease_db.write(|mut conn| async move { end_leases_of(&mut conn, dead).await }).await {
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
