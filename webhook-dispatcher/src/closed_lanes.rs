//! Watches the lanes that are closed because their hosts do not work: counts them, and ends deliveries whose
//! time is over there.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Interval};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::lifecycle::Lifecycle;

use crate::retry::GIVE_UP_AFTER;

const INTERVAL: Duration = Duration::from_secs(5);
/// Deliveries that one statement ends. It has ten seconds.
const BATCH: i32 = 500;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    closed: i64,
    #[diesel(sql_type = BigInt)]
    ended: i64,
}

const LOOK: &str = "
SELECT (SELECT count(*) FROM webhook_lanes WHERE closed_until > capi_now()) AS closed,
    expire_deliveries_v1($1, $2) AS ended";

/// Runs until the process stops.
pub(crate) async fn watch(db: Db, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        match db.write(|mut conn| async move { look(&mut conn).await }).await {
            Ok(found) => {
                metrics::gauge!("capi_webhook_lanes_closed")
                    .set(f64::from(u32::try_from(found.closed).unwrap_or(u32::MAX)));
                if found.ended > 0 {
                    metrics::counter!("capi_webhook_deliveries_failed_total")
                        .increment(found.ended.unsigned_abs());
                    tracing::warn!(
                        deliveries = found.ended,
                        "webhook deliveries given up: their time ended while their receivers did not work"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "failed to watch closed lanes"),
        }
    }
}

async fn look(conn: &mut Connection) -> Result<Found, DbError> {
    Ok(statement(LOOK)
        .bind::<Interval, _>(interval(GIVE_UP_AFTER))
        .bind::<Integer, _>(BATCH)
        .get_result(conn)
        .await?)
}
