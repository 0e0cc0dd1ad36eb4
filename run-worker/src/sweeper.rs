//! Finds users who could start a pending run, and nudges for them. One worker at a time does so.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Jsonb, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::{self, Nudge, WorkQueue};
use uuid::Uuid;

use crate::context::Context;
use crate::leases::store::Claimant;

const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until the process stops.
pub async fn sweep(context: Arc<Context>) {
    let (db, publisher, lifecycle) =
        (context.db.clone(), context.publisher.clone(), context.lifecycle.clone());
    let by = &context.leases.claimant;
    let find = |mut conn, room| async move { waiting_users(&mut conn, by, room).await };
    queue::sweep(WorkQueue::Runs, INTERVAL, db, publisher, lifecycle, find).await;
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    /// How many pending runs the user can start now.
    #[diesel(sql_type = BigInt)]
    startable: i64,
}

/// Skips from user to user in the index of pending runs, so that the backlog of one user costs one step.
const WAITING: &str = "
WITH RECURSIVE sweeping AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(4706042) AS alone
), users_waiting AS (
    (SELECT user_id FROM runs WHERE status = 'pending' ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT r.user_id FROM runs r WHERE r.status = 'pending' AND r.user_id > w.user_id
        ORDER BY r.user_id LIMIT 1)
    FROM users_waiting w WHERE w.user_id IS NOT NULL
), quotas AS (
    SELECT w.user_id,
        coalesce(($1 ->> u.plan)::bigint, $2)
            - (SELECT count(*) FROM runs r WHERE r.user_id = w.user_id AND r.status = 'running') AS free,
        (SELECT min(r.created_at) FROM runs r WHERE r.user_id = w.user_id AND r.status = 'pending') AS oldest
    FROM users_waiting w JOIN users u ON u.id = w.user_id
)
SELECT q.user_id, least(q.free, (SELECT count(*) FROM (
    SELECT 1 FROM runs r WHERE r.user_id = q.user_id AND r.status = 'pending'
    LIMIT greatest(q.free, 0)) counted)) AS startable
FROM quotas q WHERE (SELECT alone FROM sweeping) AND q.free > 0 ORDER BY q.oldest LIMIT $3";

/// Returns the users who can start pending runs, longest wait first, each with the number of runs that it can
/// start, at most `room` users. Returns none while another worker sweeps.
async fn waiting_users(conn: &mut Connection, by: &Claimant, room: u32) -> Result<Vec<Nudge>, DbError> {
    let rows: Vec<WaitingRow> = statement(WAITING)
        .bind::<Jsonb, _>(&by.caps)
        .bind::<Integer, _>(by.smallest_cap)
        .bind::<BigInt, _>(i64::from(room))
        .load(conn)
        .await?;
    let nudges =
        rows.iter().map(|row| Nudge::times(row.user_id, u32::try_from(row.startable).unwrap_or(u32::MAX)));
    Ok(nudges.collect())
}
