//! The net under the nudges: one sweeper at a time over all workers tops the queue up for users with pending runs
//! and free places. It writes nothing, so a backlog costs nothing.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{DbError, statement};
use shared::ids::UserId;
use shared::queue::Work;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(5);
/// Ready messages that the queue is topped up to.
const TOP_UP_TO: u32 = 500;

/// Until the process stops.
pub async fn sweep(context: Arc<Context>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        let Some(ready) = context.publisher.count_ready(Work::Runs).await else {
            continue;
        };
        let Some(room) = TOP_UP_TO.checked_sub(ready).filter(|room| *room > 0) else {
            continue;
        };
        match waiting_users(&context, i64::from(room)).await {
            Ok(users) => {
                for (user, places) in users {
                    for _ in 0..places {
                        context.publisher.nudge(Work::Runs, user.uuid());
                    }
                    metrics::counter!("capi_runs_renudged_total").increment(places);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "pending runs are not looked for: the database does not answer");
            }
        }
    }
}

#[derive(QueryableByName)]
struct LockRow {
    #[diesel(sql_type = Bool)]
    held: bool,
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    places: i64,
}

/// Users are found by hopping over the index of pending runs, so that a backlog of one user is one hop.
const WAITING: &str = "
WITH RECURSIVE users_waiting AS (
    (SELECT user_id FROM runs WHERE status = 'pending' ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT r.user_id FROM runs r WHERE r.status = 'pending' AND r.user_id > w.user_id ORDER BY r.user_id LIMIT 1)
    FROM users_waiting w WHERE w.user_id IS NOT NULL
), places AS (
    SELECT w.user_id,
        coalesce(($1 ->> u.plan)::bigint, $2) - (SELECT count(*) FROM runs r WHERE r.user_id = w.user_id AND r.status = 'running') AS free,
        (SELECT min(r.created_at) FROM runs r WHERE r.user_id = w.user_id AND r.status = 'pending') AS oldest
    FROM users_waiting w JOIN users u ON u.id = w.user_id
)
SELECT p.user_id, least(p.free, (SELECT count(*) FROM (
    SELECT 1 FROM runs r WHERE r.user_id = p.user_id AND r.status = 'pending' LIMIT greatest(p.free, 0)) counted)) AS places
FROM places p WHERE p.free > 0 ORDER BY p.oldest LIMIT $3";

/// Users with pending runs and free places, the longest waiting first: together at most `room` places. Empty where
/// another worker sweeps right now.
async fn waiting_users(context: &Context, room: i64) -> Result<Vec<(UserId, u64)>, DbError> {
    let mut conn = context.db.get().await?;
    let rows = conn
        .build_transaction()
        .run(async |conn| {
            let lock: LockRow =
                statement("SELECT pg_try_advisory_xact_lock(4706042) AS held").get_result(conn).await?;
            if !lock.held {
                return Ok(Vec::new());
            }
            statement(WAITING)
                .bind::<Jsonb, _>(&context.claimant.caps)
                .bind::<Integer, _>(context.claimant.smallest_cap)
                .bind::<BigInt, _>(room)
                .load::<WaitingRow>(conn)
                .await
        })
        .await?;
    let mut left = u64::try_from(room).unwrap_or(0);
    let mut users = Vec::new();
    for row in rows {
        let places = u64::try_from(row.places).unwrap_or(0).min(left);
        left -= places;
        users.push((row.user_id, places));
    }
    Ok(users)
}
