//! The net under the nudges: tops a queue up for whoever has work and was not announced, or whose nudge was lost.
//! It writes nothing, so a backlog costs nothing.

use std::time::Duration;

use uuid::Uuid;

use super::publisher::Counted;
use super::{Publisher, Work};
use crate::db::{Connection, Db, DbError};
use crate::lifecycle::Lifecycle;

/// Ready messages that a queue is topped up to.
const TOP_UP_TO: u32 = 500;

/// Looks each `interval` until the process stops. `find` gives the ids to nudge, at most as many as it is told; its
/// statement sees to it that one process at a time looks.
pub async fn sweep<Found: Future<Output = Result<Vec<Uuid>, DbError>>>(
    work: Work,
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
        if let Some(ready) = publisher.count(Counted::Ready(work)).await {
            top_up(work, TOP_UP_TO.saturating_sub(ready), &db, &publisher, &find).await;
        }
        if let Some(dead) = publisher.count(Counted::Dead(work)).await {
            metrics::gauge!("capi_dead_letters", "work" => work.as_str()).set(dead);
        }
    }
}

async fn top_up<Found: Future<Output = Result<Vec<Uuid>, DbError>>>(
    work: Work,
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
                publisher.nudge(work, *id);
            }
            metrics::counter!("capi_nudges_swept_total", "work" => work.as_str())
                .increment(u64::try_from(found.len()).unwrap_or(u64::MAX));
        }
        Err(error) => tracing::warn!(%error, work = work.as_str(), "waiting work is not looked for"),
    }
}
