//! The worker's end of a run: completed or failed.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::end_sql::{log_and_deliver, partial_result};
use super::events::{self, EventData};
use super::outcome::RunEnd;
use super::state_machine::Transition;
use super::usage::{UsageDelta, contacted_hosts};
use crate::config::Quotas;
use crate::db::{Connection, DbError, statement};
use crate::ids::{DeliveryId, LaneId, RunId, UserId};

/// What [`finish`] or [`super::expire`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The run is over. Nudge the user and the lane.
    Done {
        user: UserId,
        /// The lane of the run's webhook delivery.
        lane: Option<LaneId>,
    },
    /// A stale write: the guard did not match, so nothing changed.
    Fenced,
}

macro_rules! finish_sql {
    ($more:literal) => {
        concat!(
            "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4),
        result = CASE WHEN $15 THEN ",
            partial_result!(),
            " ELSE $8 END, error_code = $9,
        error = $10 || CASE WHEN $10 IS NULL THEN NULL
                       ELSE jsonb_build_object('eventSeq', last_seq + cardinality($4)) END,
        input_tokens = input_tokens + $11, output_tokens = output_tokens + $12, steps = steps + $13,
        tool_calls = tool_calls + $14,
        cached_input_tokens = CASE WHEN $18::bigint IS NULL THEN cached_input_tokens
                              ELSE coalesce(cached_input_tokens, 0) + $18 END,
        reasoning_tokens = CASE WHEN $19::bigint IS NULL THEN reasoning_tokens
                           ELSE coalesce(reasoning_tokens, 0) + $19 END,
        contacted_hosts = CASE WHEN $17 = '{}' THEN contacted_hosts
                          ELSE merged_hosts_v1(contacted_hosts, $17) END,
        lease_owner = NULL, lease_expires_at = NULL, losses = 0
    WHERE id = $1 AND attempt = $2 AND status = ANY ($16)
    RETURNING id, user_id, attempt, last_seq, completed_at, webhook_url, webhook_host
",
            log_and_deliver!(),
            $more
        )
    };
}

const FINISH: &str = finish_sql!("");

/// Also counts the tokens of the last events as used by the account today.
const FINISH_COUNTED: &str = finish_sql!(" WHERE use_account_v1(d.user_id, $11::bigint + $12::bigint, 0)");

#[derive(QueryableByName)]
pub(super) struct DoneRow {
    #[diesel(sql_type = SqlUuid)]
    pub(super) user_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(super) lane_id: Option<LaneId>,
}

impl From<Option<DoneRow>> for Finished {
    fn from(row: Option<DoneRow>) -> Self {
        row.map_or(Self::Fenced, |row| Self::Done { user: row.user_id, lane: row.lane_id })
    }
}

/// Ends the run if `attempt` still holds it. Records `last_events` before the terminal event, in the same
/// statement.
pub async fn finish(
    conn: &mut Connection,
    fence: (RunId, i32),
    last_events: &[EventData],
    ended: &RunEnd,
) -> Result<Finished, DbError> {
    finish_under(conn, fence, last_events, ended, &Quotas::default()).await
}

/// The same for an account with these quotas.
pub async fn finish_under(
    conn: &mut Connection,
    (run, attempt): (RunId, i32),
    last_events: &[EventData],
    ended: &RunEnd,
    quotas: &Quotas,
) -> Result<Finished, DbError> {
    let usage = UsageDelta::of(last_events);
    let is_counted = quotas.max_tokens_per_day.is_some() && usage.tokens() > 0;
    let terminal = ended.event();
    let (types, data) = events::columns(last_events.iter().chain([&terminal]));
    let (result, error) = match ended {
        RunEnd::Completed(result) => (Some(result), None),
        RunEnd::Failed(error, result) => (result.as_ref(), Some(error)),
        RunEnd::Lost(error) => (None, Some(error)),
    };
    let row: Option<DoneRow> = statement(if is_counted { FINISH_COUNTED } else { FINISH })
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Integer, _>(attempt)
        .bind::<Text, _>(ended.status().as_str())
        .bind::<Array<Text>, _>(types)
        .bind::<Array<Jsonb>, _>(data)
        .bind::<SqlUuid, _>(LaneId::generate().uuid())
        .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
        .bind::<Nullable<Jsonb>, _>(result.map(|result| json!(result)))
        .bind::<Nullable<Text>, _>(error.map(|error| error.code.as_str()))
        .bind::<Nullable<Jsonb>, _>(error.map(|error| json!(error.stored())))
        .bind::<BigInt, _>(usage.input_tokens)
        .bind::<BigInt, _>(usage.output_tokens)
        .bind::<Integer, _>(usage.steps)
        .bind::<Integer, _>(usage.tool_calls)
        .bind::<Bool, _>(matches!(ended, RunEnd::Lost(_)))
        .bind::<Array<Text>, _>(Transition::Finish.allowed_from())
        .bind::<Array<Text>, _>(contacted_hosts(last_events))
        .bind::<Nullable<BigInt>, _>(usage.cached_input_tokens)
        .bind::<Nullable<BigInt>, _>(usage.reasoning_tokens)
        .load(conn)
        .await?
        .pop();
    Ok(row.into())
}
