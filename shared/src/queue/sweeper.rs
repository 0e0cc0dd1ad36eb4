//! Repairs lost nudges: tops a queue up with the ids that have work in the database. It writes no row, so a
//! backlog costs little.

use std::time::Duration;

use super::backlog::MAX_READY;
use super::outbox::Counted;
use super::{Nudge, Publisher, WorkQueue};
use crate::db::{Connection, Db, DbError};
use crate::lifecycle::Lifecycle;

/// The number of ready messages up to which a queue is filled.
const TOP_UP_TO: u32 = 500;
/// The most ids of a sweep while the queue holds more: its nudges may all be old, and find no work.
const AT_LEAST: u32 = 50;
/// With this many ready messages, a sweep sends nothing: no process takes them.
const STOP_AT: u32 = 2 * MAX_READY;

/// How many ids to find for a queue with so many ready messages.
fn room(ready: u32) -> u32 {
    if ready >= STOP_AT { 0 } else { TOP_UP_TO.saturating_sub(ready).max(AT_LEAST) }
}

/// Runs every `interval` until the process stops. `find` returns the ids to nudge, each with the number of
/// pieces of work that may start, at most as many ids as its argument says. Its statement holds an advisory
/// lock, so that one process at a time sweeps.
pub async fn sweep<Found: Future<Output = Result<Vec<Nudge>, DbError>>>(
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
            top_up(queue, room(ready), &db, &publisher, &find).await;
        }
        if let Some(dead) = publisher.count(Counted::Dead(queue)).await {
            metrics::gauge!("capi_dead_letters", "queue" => queue.as_str()).set(dead);
        }
    }
}

async fn top_up<Found: Future<Output = Result<Vec<Nudge>, DbError>>>(
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
            for nudge in &found {
                publisher.nudge_times(queue, nudge.id, nudge.count);
            }
            metrics::counter!("capi_sweeper_nudges_total", "queue" => queue.as_str())
                .increment(u64::try_from(found.len()).unwrap_or(u64::MAX));
        }
        Err(error) => tracing::warn!(%error, queue = queue.as_str(), "failed to sweep for waiting work"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_nudges_do_not_stop_the_sweeps_and_the_queue_stays_bounded() {
        assert_eq!([0, 100, 450].map(room), [500, 400, 50]);
        assert_eq!([499, 500, 1000, STOP_AT - 1].map(room), [AT_LEAST; 4], "the nudges there may be old");
        assert_eq!([STOP_AT, u32::MAX].map(room), [0, 0]);
    }
}
