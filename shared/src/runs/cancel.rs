//! The owner's end of a run: cancelled.

use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::end_sql::{log_and_deliver, partial_result};
use super::events::{self, EventData};
use super::finish::DoneRow;
use super::state::RunStatus;
use super::state_machine::Transition;
use super::view::status;
use crate::db::{Connection, DbError, statement};
use crate::ids::{AppId, DeliveryId, LaneId, RunId, UserId};

/// Locks the row before [`CANCEL`] takes its snapshot, so that the snapshot holds what a worker recorded
/// while this statement waited for the lock.
const LOCK: &str = "
SELECT lease_owner IS NOT NULL AS held FROM runs WHERE id = $1 AND user_id = $2 FOR NO KEY UPDATE";

/// Keeps the recorded part of the result. Attempt 0 in the log is the gateway.
const CANCEL: &str = concat!(
    "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4),
        lease_owner = NULL, lease_expires_at = NULL, losses = 0,
        result = ",
    partial_result!(),
    "
    WHERE id = $1 AND user_id = $2 AND ($8 IS NULL OR app_id = $8) AND status = ANY ($9)
    RETURNING id, user_id, 0 AS attempt, last_seq, completed_at, webhook_url, webhook_host
",
    log_and_deliver!()
);

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = Bool)]
    held: bool,
}

/// What [`cancel`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// This call cancelled the run.
    Done {
        /// The lane of the run's webhook delivery.
        lane: Option<LaneId>,
        /// Whether a worker held the run and must release it.
        held: bool,
    },
    /// The run was already over, with this status.
    Over(RunStatus),
    /// The user has no such run.
    Unknown,
}

/// Cancels a pending or running run of the user. With `app`, the run must belong to that app. The cancel is
/// final at once: later writes of the worker that holds the run find no row with `running`.
pub async fn cancel(
    conn: &mut Connection,
    user: UserId,
    app: Option<AppId>,
    run: RunId,
) -> Result<Cancelled, DbError> {
    let done = conn
        .build_transaction()
        .run(async |conn| {
            let mut found: Vec<HeldRow> = statement(LOCK)
                .bind::<SqlUuid, _>(run.uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .load(conn)
                .await?;
            let held = found.pop().is_some_and(|row| row.held);
            let (types, data) = events::columns([&EventData::RunCancelled {}]);
            let mut done: Vec<DoneRow> = statement(CANCEL)
                .bind::<SqlUuid, _>(run.uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Text, _>(RunStatus::Cancelled.as_str())
                .bind::<Array<Text>, _>(types)
                .bind::<Array<Jsonb>, _>(data)
                .bind::<SqlUuid, _>(LaneId::generate().uuid())
                .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
                .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
                .bind::<Array<Text>, _>(Transition::Cancel.allowed_from())
                .load(conn)
                .await?;
            Ok::<_, DbError>(done.pop().map(|done| Cancelled::Done { lane: done.lane_id, held }))
        })
        .await?;
    if let Some(done) = done {
        return Ok(done);
    }
    Ok(status(conn, user, app, run).await?.map_or(Cancelled::Unknown, Cancelled::Over))
}
