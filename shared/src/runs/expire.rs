//! The end of a run that no worker started within its queue timeout.

use diesel::sql_types::{Array, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::end_sql::log_and_deliver;
use super::events;
use super::finish::{DoneRow, Finished};
use super::outcome::{RunEnd, RunError};
use super::state::ErrorCode;
use super::state_machine::Transition;
use crate::db::{Connection, DbError, statement};
use crate::ids::{DeliveryId, LaneId, RunId};

/// Matches only a pending run after its timeout. A worker that claims it at the same time wins or finds no
/// run. Attempt 0 in the log is the gateway.
const EXPIRE: &str = concat!(
    "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4), error_code = $2,
        error = $8 || jsonb_build_object('eventSeq', last_seq + cardinality($4))
    WHERE id = $1 AND status = ANY ($9) AND created_at + queue_timeout_seconds * interval '1 s' <= capi_now()
    RETURNING id, user_id, 0 AS attempt, last_seq, completed_at, webhook_url, webhook_host
",
    log_and_deliver!()
);

/// Fails a run that no worker started within its `queueTimeoutSeconds`. Returns [`Finished::Fenced`] if a
/// worker did or if the time is not over.
pub async fn expire(conn: &mut Connection, run: RunId) -> Result<Finished, DbError> {
    let message = "no worker started the run within its queueTimeoutSeconds";
    let error = RunError::new(ErrorCode::QueueTimeout, message, None);
    let ended = RunEnd::Lost(error.clone());
    let (types, data) = events::columns([&ended.event()]);
    let row: Option<DoneRow> = statement(EXPIRE)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Text, _>(error.code.as_str())
        .bind::<Text, _>(ended.status().as_str())
        .bind::<Array<Text>, _>(types)
        .bind::<Array<Jsonb>, _>(data)
        .bind::<SqlUuid, _>(LaneId::generate().uuid())
        .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
        .bind::<Jsonb, _>(json!(error.stored()))
        .bind::<Array<Text>, _>(Transition::Expire.allowed_from())
        .load(conn)
        .await?
        .pop();
    Ok(row.into())
}
