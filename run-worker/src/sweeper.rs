//! Finds users who could start a pending run, and nudges for them. It also sets wrong slots right. One worker
//! at a time does so.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Uuid as SqlUuid};
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
    /// Whether the slot hides a pending run, or counts the running ones wrongly.
    #[diesel(sql_type = Bool)]
    is_wrong: bool,
}

/// Skips from user to user in the index of pending runs, so that the backlog of one user costs one step. It
/// reads the runs themselves: a run whose create committed late is older than `pending_from`. A wrong slot is
/// found even if the user can start nothing now: each end of a run starts a newer one instead of the hidden
/// one.
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
    SELECT w.user_id, coalesce(($1 ->> u.plan)::bigint, $2) - h.held AS free, o.oldest,
        s.running <> h.held OR coalesce(s.pending_from > o.oldest, false) AS is_wrong
    FROM users_waiting w JOIN users u ON u.id = w.user_id JOIN user_slots s ON s.user_id = w.user_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS held FROM runs r WHERE r.user_id = w.user_id AND r.status = 'running') h
    CROSS JOIN LATERAL (
        SELECT min(r.created_at) AS oldest FROM runs r
        WHERE r.user_id = w.user_id AND r.status = 'pending') o
)
SELECT q.user_id, q.is_wrong, (SELECT count(*) FROM (
    SELECT 1 FROM runs r WHERE r.user_id = q.user_id AND r.status = 'pending'
    LIMIT greatest(q.free, 0)) counted) AS startable
FROM quotas q WHERE (SELECT alone FROM sweeping) AND (q.free > 0 OR q.is_wrong)
ORDER BY q.is_wrong DESC, q.oldest LIMIT $3";

/// Returns the users who can start pending runs, longest wait first, each with the number of runs that it can
/// start, at most `room` users. Returns none while another worker sweeps.
pub async fn waiting_users(conn: &mut Connection, by: &Claimant, room: u32) -> Result<Vec<Nudge>, DbError> {
    let rows: Vec<WaitingRow> = statement(WAITING)
        .bind::<Jsonb, _>(&by.caps)
        .bind::<Integer, _>(by.smallest_cap)
        .bind::<BigInt, _>(i64::from(room))
        .load(conn)
        .await?;
    let wrong: Vec<_> = rows.iter().filter(|row| row.is_wrong).map(|row| row.user_id).collect();
    if !wrong.is_empty() {
        correct_slots(conn, wrong).await?;
    }
    let startable = rows.iter().filter(|row| row.startable > 0);
    let nudges =
        startable.map(|row| Nudge::times(row.user_id, u32::try_from(row.startable).unwrap_or(u32::MAX)));
    Ok(nudges.collect())
}

/// Before the nudges, so that their claims find the runs. The next sweep finds a slot that is locked now.
async fn correct_slots(conn: &mut Connection, users: Vec<Uuid>) -> Result<(), DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        corrected: i64,
    }
    let correcting = statement("SELECT correct_slots_v1($1) AS corrected").bind::<Array<SqlUuid>, _>(users);
    let row: Row = correcting.get_result(conn).await?;
    metrics::counter!("capi_slots_corrected_total").increment(u64::try_from(row.corrected).unwrap_or(0));
    Ok(())
}
