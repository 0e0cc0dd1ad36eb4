//! Nudges lanes that have a due delivery. It starts the retries, and repairs lost nudges.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Integer, Interval, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::lifecycle::Lifecycle;
use shared::queue::{self, Nudge, Publisher, WorkQueue};
use uuid::Uuid;

use crate::claims::LEASE;

const INTERVAL: Duration = Duration::from_secs(2);
/// Lanes that a sweep looks at; each costs some 30 µs of the database. With more of them, a lane's turn comes
/// every few sweeps.
const WALK: i32 = 2000;
/// Lanes of one user that a sweep nudges: so many that work, and so many that are doubtful. A nudge of a lane
/// that must wait costs a statement.
const LANES_EACH: i32 = 32;

/// Runs until the process stops.
pub async fn sweep(db: Db, publisher: Publisher, lifecycle: Lifecycle) {
    // The last lane that this process looked at. The next sweep goes on after it.
    let walked_to = Arc::new(Mutex::new(Uuid::nil()));
    let find = move |mut conn, room| {
        let walked_to = Arc::clone(&walked_to);
        async move {
            let after = *walked_to.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(found) = due_lanes(&mut conn, after, room).await? else { return Ok(Vec::new()) };
            *walked_to.lock().unwrap_or_else(PoisonError::into_inner) = found.walked_to.unwrap_or_default();
            Ok::<_, DbError>(found.lanes.into_iter().map(Nudge::new).collect())
        }
    };
    queue::sweep(WorkQueue::Deliveries, INTERVAL, db, publisher, lifecycle, find).await;
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Array<SqlUuid>)]
    lanes: Vec<Uuid>,
    /// `None` at the end of the lanes.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    walked_to: Option<Uuid>,
}

const DUE: &str = "
WITH sweeping AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4706043) AS alone)
SELECT lanes, walked_to FROM webhook_lanes_due_v2($1, $2, $3, $4, $5) WHERE (SELECT alone FROM sweeping)";

/// At most `room` lanes. `None` while another dispatcher runs the query.
async fn due_lanes(conn: &mut Connection, after: Uuid, room: u32) -> Result<Option<Found>, DbError> {
    let mut found: Vec<Found> = statement(DUE)
        .bind::<SqlUuid, _>(after)
        .bind::<Integer, _>(WALK)
        .bind::<BigInt, _>(i64::from(room))
        .bind::<Integer, _>(LANES_EACH)
        .bind::<Interval, _>(interval(LEASE))
        .load(conn)
        .await?;
    Ok(found.pop())
}
