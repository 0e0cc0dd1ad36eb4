//! How a run ends, under a worker's hands, by its owner's wish, or because nobody began it in time: one guarded statement that writes the terminal state,
//! the last events and the webhook delivery together. Either all of it is true afterwards or none.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use super::moves::Cause;
use super::outcome::{Ended, RunError};
use super::state::{ErrorCode, RunStatus};
use super::usage::UsageDelta;
use super::view::status;
use crate::db::{Connection, DbError, statement};
use crate::events::{EventType, NewEvent};
use crate::ids::{AppId, DeliveryId, LaneId, RunId, UserId};

/// What the statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The run is over; whom to nudge now.
    Done {
        /// Whose place is free.
        user: UserId,
        /// Where a webhook waits.
        lane: Option<LaneId>,
    },
    /// The run was no longer this attempt's: nothing was changed.
    Fenced,
}

/// What every end of a run writes behind the update of its row: the last events, and the webhook delivery where one is
/// asked for. `done` is that update; `$3` is the status, `$4` and `$5` are the events, `$6` and `$7` fresh ids.
///
/// The lane is only inserted where it does not exist. Should another statement make it in between, DO UPDATE
/// returns that one: DO NOTHING would return no row, and the delivery would be lost.
macro_rules! and_its_consequences {
    () => {
        "), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT d.id, d.last_seq - cardinality($4) + e.number, e.type, d.completed_at, d.attempt, e.data
    FROM done d, unnest($4, $5) WITH ORDINALITY AS e (type, data, number)
), known_lane AS (
    SELECT l.id FROM webhook_lanes l JOIN done d ON l.user_id = d.user_id AND l.host = d.webhook_host
), made_lane AS (
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT $6, d.user_id, d.webhook_host FROM done d
    WHERE d.webhook_url IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_lane)
    ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host
    RETURNING id
), delivery AS (
    INSERT INTO webhook_deliveries (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
    SELECT $7, l.id, d.user_id, d.id, 'run.' || $3, d.webhook_url, 'pending', d.completed_at, d.completed_at
    FROM done d, (SELECT id FROM known_lane UNION ALL SELECT id FROM made_lane) l
    RETURNING lane_id
)
SELECT d.user_id, (SELECT lane_id FROM delivery) AS lane_id FROM done d"
    };
}

/// What the log of run `$1` says that it brought forth, as a partial result; null where that is nothing.
macro_rules! what_there_was {
    () => {
        "(
            SELECT jsonb_build_object('text', coalesce(said.text, ''), 'partial', true)
            FROM (SELECT (
                SELECT e.data ->> 'content' FROM run_events e
                WHERE e.run_id = $1 AND e.type = 'message' AND e.data ->> 'role' = 'assistant' AND e.data ->> 'content' ~ '\\S'
                ORDER BY e.seq DESC LIMIT 1) AS text) said
            WHERE said.text IS NOT NULL OR EXISTS (SELECT 1 FROM artifacts f WHERE f.run_id = $1))"
    };
}

const FINISH: &str = concat!(
    "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4), result = CASE WHEN $15 THEN ",
    what_there_was!(),
    " ELSE $8 END, error_code = $9,
        error = $10 || CASE WHEN $10 IS NULL THEN NULL ELSE jsonb_build_object('eventSeq', last_seq + cardinality($4)) END,
        input_tokens = input_tokens + $11, output_tokens = output_tokens + $12, steps = steps + $13,
        tool_calls = tool_calls + $14,
        lease_owner = NULL, lease_expires_at = NULL, losses = 0
    WHERE id = $1 AND attempt = $2 AND status = ANY ($16)
    RETURNING id, user_id, attempt, last_seq, completed_at, webhook_url, webhook_host
",
    and_its_consequences!()
);

/// In a statement of its own: what a worker records while this waits would not be in the snapshot of the next.
const LOCK: &str = "
SELECT lease_owner IS NOT NULL AS held FROM runs WHERE id = $1 AND user_id = $2 FOR NO KEY UPDATE";

/// Attempt 0 in the log is the gateway. What the run had brought forth stays, as far as it is recorded.
const CANCEL: &str = concat!(
    "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4),
        lease_owner = NULL, lease_expires_at = NULL, losses = 0,
        result = ",
    what_there_was!(),
    "
    WHERE id = $1 AND user_id = $2 AND ($8 IS NULL OR app_id = $8) AND status = ANY ($9)
    RETURNING id, user_id, 0 AS attempt, last_seq, completed_at, webhook_url, webhook_host
",
    and_its_consequences!()
);

/// Only while it is pending, and past its time: a worker that claims it in the same moment wins or finds nothing.
const EXPIRE: &str = concat!(
    "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4), error_code = $2,
        error = $8 || jsonb_build_object('eventSeq', last_seq + cardinality($4))
    WHERE id = $1 AND status = ANY ($9) AND created_at + queue_timeout_seconds * interval '1 s' <= capi_now()
    RETURNING id, user_id, 0 AS attempt, last_seq, completed_at, webhook_url, webhook_host
",
    and_its_consequences!()
);

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = Bool)]
    held: bool,
}

#[derive(QueryableByName)]
struct DoneRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    lane_id: Option<LaneId>,
}

/// Ends a run of the given attempt; `last_events` are recorded before the terminal one, in the same statement.
pub async fn finish(
    conn: &mut Connection,
    (run, attempt): (RunId, i32),
    last_events: &[NewEvent],
    ended: &Ended,
) -> Result<Finished, DbError> {
    let usage = UsageDelta::of(last_events);
    let terminal = ended.event();
    let (kinds, data): (Vec<&str>, Vec<&Value>) =
        last_events.iter().chain([&terminal]).map(|event| (event.kind.as_str(), &event.data)).unzip();
    let (result, error) = match ended {
        Ended::Completed(result) => (Some(result), None),
        Ended::Failed(error, result) => (result.as_ref(), Some(error)),
        Ended::Lost(error) => (None, Some(error)),
    };
    let row: Option<DoneRow> = statement(FINISH)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Integer, _>(attempt)
        .bind::<Text, _>(ended.status().as_str())
        .bind::<Array<Text>, _>(kinds)
        .bind::<Array<Jsonb>, _>(data)
        .bind::<SqlUuid, _>(LaneId::generate().uuid())
        .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
        .bind::<Nullable<Jsonb>, _>(result.map(|result| json!(result)))
        .bind::<Nullable<Text>, _>(error.map(|error| error.code.as_str()))
        .bind::<Nullable<Jsonb>, _>(error.map(RunError::stored))
        .bind::<BigInt, _>(usage.input_tokens)
        .bind::<BigInt, _>(usage.output_tokens)
        .bind::<Integer, _>(usage.steps)
        .bind::<Integer, _>(usage.tool_calls)
        .bind::<Bool, _>(matches!(ended, Ended::Lost(_)))
        .bind::<Array<Text>, _>(Cause::Finish.moves_from())
        .load(conn)
        .await?
        .pop();
    Ok(finished(row))
}

fn finished(row: Option<DoneRow>) -> Finished {
    row.map_or(Finished::Fenced, |row| Finished::Done { user: row.user_id, lane: row.lane_id })
}

/// Fails a run that nobody started within its `queueTimeoutSeconds`; [`Finished::Fenced`] where somebody did, or where
/// the time is not over.
pub async fn expire(conn: &mut Connection, run: RunId) -> Result<Finished, DbError> {
    let message = "no worker started the run within its queueTimeoutSeconds";
    let error = RunError::new(ErrorCode::QueueTimeout, message, None);
    let ended = Ended::Lost(error.clone());
    let terminal = ended.event();
    let row = statement(EXPIRE)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Text, _>(error.code.as_str())
        .bind::<Text, _>(ended.status().as_str())
        .bind::<Array<Text>, _>(vec![terminal.kind.as_str()])
        .bind::<Array<Jsonb>, _>(vec![&terminal.data])
        .bind::<SqlUuid, _>(LaneId::generate().uuid())
        .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
        .bind::<Jsonb, _>(error.stored())
        .bind::<Array<Text>, _>(Cause::Expire.moves_from())
        .load(conn)
        .await?
        .pop();
    Ok(finished(row))
}

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The run is over by this call.
    Done {
        /// Where a webhook waits.
        lane: Option<LaneId>,
        /// Whether a worker held it, and is to let it go.
        held: bool,
    },
    /// It was over already, in this way.
    Over(RunStatus),
    /// The user has no such run.
    Unknown,
}

/// Ends a pending or running run of the user's, within one app where `app` is given. Final at once: a worker that still
/// holds the run finds no row with its attempt and `running`.
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
            let mut done: Vec<DoneRow> = statement(CANCEL)
                .bind::<SqlUuid, _>(run.uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Text, _>(RunStatus::Cancelled.as_str())
                .bind::<Array<Text>, _>(vec![EventType::RunCancelled.as_str()])
                .bind::<Array<Jsonb>, _>(vec![json!({})])
                .bind::<SqlUuid, _>(LaneId::generate().uuid())
                .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
                .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
                .bind::<Array<Text>, _>(Cause::Cancel.moves_from())
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
