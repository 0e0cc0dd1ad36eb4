//! The net under the nudges, and the clock of the retries: nudges each lane that has a due delivery. One at a time
//! over all dispatchers; it writes nothing.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{DbError, statement};
use shared::ids::LaneId;
use shared::queue::Work;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(2);
/// Ready messages that the queue is topped up to.
const TOP_UP_TO: u32 = 500;

const DUE: &str = "
SELECT lane_id FROM webhook_deliveries
WHERE status IN ('pending', 'retrying') AND next_attempt_at <= capi_now()
  AND (lease_expires_at IS NULL OR lease_expires_at <= capi_now())
GROUP BY lane_id ORDER BY min(next_attempt_at) LIMIT $1";

/// Until the process stops.
pub async fn sweep(context: Arc<Context>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        let Some(ready) = context.publisher.count_ready(Work::Deliveries).await else {
            continue;
        };
        let Some(room) = TOP_UP_TO.checked_sub(ready).filter(|room| *room > 0) else {
            continue;
        };
        match due_lanes(&context, i64::from(room)).await {
            Ok(lanes) => lanes.iter().for_each(|lane| context.publisher.nudge(Work::Deliveries, lane.uuid())),
            Err(error) => {
                tracing::warn!(%error, "due deliveries are not looked for: the database does not answer");
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
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    lane_id: LaneId,
}

async fn due_lanes(context: &Context, most: i64) -> Result<Vec<LaneId>, DbError> {
    let mut conn = context.db.get().await?;
    let rows = conn
        .build_transaction()
        .run(async |conn| {
            let lock: LockRow =
                statement("SELECT pg_try_advisory_xact_lock(4706043) AS held").get_result(conn).await?;
            if !lock.held {
                return Ok(Vec::new());
            }
            statement(DUE).bind::<BigInt, _>(most).load::<LaneRow>(conn).await
        })
        .await?;
    Ok(rows.into_iter().map(|row| row.lane_id).collect())
}
