//! Finds users with pending runs and free places that no nudge announced: one worker at a time.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::{self, WorkQueue};
use uuid::Uuid;

use crate::claim::Claimant;
use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(5);

/// Until the process stops.
pub async fn sweep(context: Arc<Context>) {
    let (db, publisher, lifecycle) =
        (context.db.clone(), context.publisher.clone(), context.lifecycle.clone());
    let by = &context.claimant;
    let find = |mut conn, room| async move { waiting_users(&mut conn, by, room).await };
    queue::sweep(WorkQueue::Runs, INTERVAL, db, publisher, lifecycle, find).await;
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = BigInt)]
    places: i64,
}

/// Users are found by hopping over the index of pending runs, so that a backlog of one user is one hop.
const WAITING: &str = "
WITH RECURSIVE sweeping AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(4706042) AS alone
), users_waiting AS (
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
FROM places p WHERE (SELECT alone FROM sweeping) AND p.free > 0 ORDER BY p.oldest LIMIT $3";

/// Users with pending runs and free places, the longest waiting first, each as often as runs can start: at most
/// `room` in all. Empty where another worker looks right now.
async fn waiting_users(conn: &mut Connection, by: &Claimant, room: u32) -> Result<Vec<Uuid>, DbError> {
    let rows: Vec<WaitingRow> = statement(WAITING)
        .bind::<Jsonb, _>(&by.caps)
        .bind::<Integer, _>(by.smallest_cap)
        .bind::<BigInt, _>(i64::from(room))
        .load(conn)
        .await?;
    let nudges = rows
        .iter()
        .flat_map(|row| std::iter::repeat_n(row.user_id, usize::try_from(row.places).unwrap_or(0)));
    Ok(nudges.take(usize::try_from(room).unwrap_or(usize::MAX)).collect())
}
