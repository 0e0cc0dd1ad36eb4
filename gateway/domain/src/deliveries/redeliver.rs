//! Sends a delivery again: the same `webhook-id`, with a fresh schedule of attempts. The numbers of its
//! attempts go on.

use diesel::QueryableByName;
use diesel::sql_types::{Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, statement};
use shared::ids::{AppId, LaneId, UserId};
use shared::queue::{Publisher, WorkQueue};
use tracing::Instrument as _;

use super::shape::of_app;
use super::{Delivery, DeliveryRef, list};
use crate::Refusal;

/// Matches only a delivery that is over. Dispatchers of the former version do not claim it: they would count
/// the attempts before.
const RESTART: &str = concat!(
    "UPDATE webhook_deliveries d
SET status = 'pending', next_attempt_at = 'infinity', due_at = capi_now(), earlier_attempts = d.attempt,
    scheduled_at = capi_now()
WHERE d.id = $1 AND d.user_id = $2 AND d.type <> 'ping' AND d.status IN ('delivered', 'failed')
  AND ",
    of_app!("$3"),
    " RETURNING d.lane_id"
);

/// Sends the user's delivery again. The work is a task of its own: a client that disconnects must not keep
/// the nudge from being sent.
pub async fn redeliver(
    db: &Db,
    publisher: &Publisher,
    user: UserId,
    of: DeliveryRef,
) -> Result<Delivery, Refusal> {
    let (db, publisher) = (db.clone(), publisher.clone());
    let sending = async move {
        let restarted = restart(&db, user, of).await?;
        let delivery = list::get(&db, user, of).await?;
        let Some(lane) = restarted else {
            return Err(Refusal::DeliveryNotFinished {
                in_flight: delivery.in_flight,
                next_attempt_at: delivery.next_attempt_at,
            });
        };
        publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        tracing::info!(delivery_id = %of.delivery, run_id = %delivery.run_id, "webhook is sent again");
        Ok(delivery)
    };
    tokio::spawn(sending.in_current_span()).await.map_err(|error| Refusal::fault(&error))?
}

async fn restart(db: &Db, user: UserId, of: DeliveryRef) -> Result<Option<LaneId>, Refusal> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        lane_id: LaneId,
    }
    let app = of.app.map(AppId::uuid);
    let restarting = db.write(|mut conn| async move {
        let mut rows: Vec<Row> = statement(RESTART)
            .bind::<SqlUuid, _>(of.delivery.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<SqlUuid>, _>(app)
            .load(&mut conn)
            .await?;
        Ok(rows.pop())
    });
    Ok(restarting.await?.map(|row| row.lane_id))
}
