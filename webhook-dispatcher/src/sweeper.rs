//! Nudges lanes that have a due delivery. It starts the retries, and repairs lost nudges.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::queue::{self, WorkQueue};
use uuid::Uuid;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(2);
/// Lanes of one user that a sweep nudges. A nudge of a lane that must wait costs a statement.
const LANES_EACH: i32 = 64;

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
WITH sweeping AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4706043) AS alone)
SELECT lane_id FROM webhook_lanes_due_v1($1, $2) WHERE (SELECT alone FROM sweeping)";

/// At most `room` lanes, each user's longest due one first. Empty while another dispatcher runs the query.
async fn due_lanes(conn: &mut Connection, room: u32) -> Result<Vec<Uuid>, DbError> {
    let rows: Vec<LaneRow> =
        statement(DUE).bind::<BigInt, _>(i64::from(room)).bind::<Integer, _>(LANES_EACH).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.lane_id).collect())
}
