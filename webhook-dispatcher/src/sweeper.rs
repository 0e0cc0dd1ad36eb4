//! Nudges lanes that have a due delivery. It starts the retries, and repairs lost nudges.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::{self, WorkQueue};
use uuid::Uuid;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(2);

/// Runs until the process stops.
pub async fn sweep(context: Arc<Context>) {
    let (db, publisher, lifecycle) =
        (context.db.clone(), context.publisher.clone(), context.lifecycle.clone());
    let find = |mut conn, room| async move { due_lanes(&mut conn, room).await };
    queue::sweep(WorkQueue::Deliveries, INTERVAL, db, publisher, lifecycle, find).await;
}

#[derive(QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    lane_id: Uuid,
}

const DUE: &str = "
WITH sweeping AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4706043) AS alone), due AS (
    SELECT lane_id, next_attempt_at AS at FROM webhook_deliveries
    WHERE (SELECT alone FROM sweeping) AND status IN ('pending', 'retrying') AND next_attempt_at <= capi_now()
      AND (lease_expires_at IS NULL OR lease_expires_at <= capi_now())
    UNION ALL
    SELECT lane_id, due_at FROM webhook_deliveries
    WHERE (SELECT alone FROM sweeping) AND status IN ('pending', 'retrying') AND due_at <= capi_now()
      AND (lease_expires_at IS NULL OR lease_expires_at <= capi_now())
)
SELECT lane_id FROM due GROUP BY lane_id ORDER BY min(at) LIMIT $1";

/// At most `room` lanes, the longest due first. Empty while another dispatcher runs the same query.
async fn due_lanes(conn: &mut Connection, room: u32) -> Result<Vec<Uuid>, DbError> {
    let rows: Vec<LaneRow> = statement(DUE).bind::<BigInt, _>(i64::from(room)).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.lane_id).collect())
}
