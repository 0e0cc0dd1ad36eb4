//! Repairs lost nudges: tops a queue up with the ids that have work in the database. It writes no row, so a
//! backlog costs little.

use std::time::Duration;

use uuid::Uuid;

use super::publisher::Counted;
use super::{Publisher, WorkQueue};
use crate::db::{Connection, Db, DbError};
use crate::lifecycle::Lifecycle;

/// The number of ready messages up to which a queue is filled.
const TOP_UP_TO: u32 = 500;

/// Runs every `interval` until the process stops. `find` returns the ids to nudge, at most as many as its
/// argument says. Its statement holds an advisory lock, so that one process at a time sweeps.
pub async fn sweep<Found: Future<Output = Result<Vec<Uuid>, DbError>>>(
    queue: WorkQueue,
    interval: Duration,
    db: Db,
    publisher: Publisher,
    lifecycle: Lifecycle,
    find: impl Fn(Connection, u32) -> Found,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        if let Some(ready) = publisher.count(Counted::Ready(queue)).await {
            top_up(queue, TOP_UP_TO.saturating_sub(ready), &db, &publisher, &find).await;
        }
        if let Some(dead) = publisher.count(Counted::Dead(queue)).await {
            metrics::gauge!("capi_dead_letters", "queue" => queue.as_str()).set(dead);
        }
    }
}

async fn top_up<Found: Future<Output = Result<Vec<Uuid>, DbError>>>(
    queue: WorkQueue,
    room: u32,
    db: &Db,
    publisher: &Publisher,
    find: &impl Fn(Connection, u32) -> Found,
) {
    if room == 0 {
        return;
    }
    match db.write(|conn| find(conn, room)).await {
        Ok(found) => {
            for id in &found {
                publisher.nudge(queue, *id);
            }
            metrics::counter!("capi_sweeper_nudges_total", "queue" => queue.as_str())
                .increment(u64::try_from(found.len()).unwrap_or(u64::MAX));
        }
        Err(error) => tracing::warn!(%error, queue = queue.as_str(), "failed to sweep for waiting work"),
    }
}
