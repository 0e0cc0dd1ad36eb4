//! How a run ends under a worker's hands: one statement, guarded by attempt and status, that writes the terminal
//! state, the last events and the webhook delivery together. Either all of it is true afterwards or none.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::{ErrorCode, RunStatus};
use crate::db::{Connection, DbError, statement};
use crate::events::{EventType, NewEvent};
use crate::ids::{DeliveryId, LaneId, RunId, UserId};
use crate::text::CleanText;

/// Bytes of `error.message`.
const MAX_MESSAGE_BYTES: usize = 500;

/// What a run produced, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// The model's answer.
    pub text: String,
    /// Set where the run did not complete: what there was.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub partial: bool,
}

/// Why a run failed, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What programs look at.
    pub code: ErrorCode,
    /// What people read; names the step, and the provider's status and words.
    pub message: CleanText,
    /// The step that failed, counted from 1; none before the first.
    pub step: Option<i32>,
}

impl RunError {
    /// Cleans and cuts the message.
    #[must_use]
    pub fn new(code: ErrorCode, message: &str, step: Option<i32>) -> Self {
        Self { code, message: CleanText::new(message, MAX_MESSAGE_BYTES), step }
    }

    fn stored(&self) -> Value {
        json!({
            "code": self.code.as_str(), "message": &*self.message, "step": self.step, "retryable": self.code.retryable(),
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// With a result.
    Completed(RunResult),
    /// With an error, and what there was until then.
    Failed(RunError, Option<RunResult>),
}

impl Ended {
    fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(..) => RunStatus::Failed,
        }
    }

    fn event(&self) -> NewEvent {
        match self {
            Self::Completed(_) => NewEvent { kind: EventType::RunCompleted, data: json!({}) },
            Self::Failed(error, _) => {
                NewEvent { kind: EventType::RunFailed, data: json!({ "error": error.stored() }) }
            }
        }
    }
}

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

/// The lane is only inserted where it does not exist. Should another statement make it in between, DO UPDATE
/// returns that one: DO NOTHING would return no row, and the delivery would be lost.
const FINISH: &str = "
WITH done AS (
    UPDATE runs
    SET status = $3, completed_at = capi_now(), last_seq = last_seq + cardinality($4), result = $6, error_code = $7,
        error = $8 || CASE WHEN $8 IS NULL THEN NULL ELSE jsonb_build_object('eventSeq', last_seq + cardinality($4)) END,
        input_tokens = input_tokens + $11, output_tokens = output_tokens + $12, steps = steps + $13,
        lease_owner = NULL, lease_expires_at = NULL, losses = 0
    WHERE id = $1 AND attempt = $2 AND status = 'running'
    RETURNING id, user_id, attempt, last_seq, completed_at, webhook_url, webhook_host
), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT d.id, d.last_seq - cardinality($4) + e.number, e.type, d.completed_at, d.attempt, e.data
    FROM done d, unnest($4, $5) WITH ORDINALITY AS e (type, data, number)
), known_lane AS (
    SELECT l.id FROM webhook_lanes l JOIN done d ON l.user_id = d.user_id AND l.host = d.webhook_host
), made_lane AS (
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT $9, d.user_id, d.webhook_host FROM done d
    WHERE d.webhook_url IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_lane)
    ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host
    RETURNING id
), delivery AS (
    INSERT INTO webhook_deliveries (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
    SELECT $10, l.id, d.user_id, d.id, 'run.' || $3, d.webhook_url, 'pending', d.completed_at, d.completed_at
    FROM done d, (SELECT id FROM known_lane UNION ALL SELECT id FROM made_lane) l
    RETURNING lane_id
)
SELECT d.user_id, (SELECT lane_id FROM delivery) AS lane_id FROM done d";

/// Tokens and steps that a write adds to the run's usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// Model answers.
    pub steps: i32,
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
    usage: UsageDelta,
) -> Result<Finished, DbError> {
    let terminal = ended.event();
    let (kinds, data): (Vec<&str>, Vec<&Value>) =
        last_events.iter().chain([&terminal]).map(|event| (event.kind.as_str(), &event.data)).unzip();
    let (result, error) = match ended {
        Ended::Completed(result) => (Some(result), None),
        Ended::Failed(error, result) => (result.as_ref(), Some(error)),
    };
    let row: Option<DoneRow> = statement(FINISH)
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Integer, _>(attempt)
        .bind::<Text, _>(ended.status().as_str())
        .bind::<Array<Text>, _>(kinds)
        .bind::<Array<Jsonb>, _>(data)
        .bind::<Nullable<Jsonb>, _>(result.map(|result| json!(result)))
        .bind::<Nullable<Text>, _>(error.map(|error| error.code.as_str()))
        .bind::<Nullable<Jsonb>, _>(error.map(RunError::stored))
        .bind::<SqlUuid, _>(LaneId::generate().uuid())
        .bind::<SqlUuid, _>(DeliveryId::generate().uuid())
        .bind::<BigInt, _>(usage.input_tokens)
        .bind::<BigInt, _>(usage.output_tokens)
        .bind::<Integer, _>(usage.steps)
        .load(conn)
        .await?
        .pop();
    Ok(row.map_or(Finished::Fenced, |row| Finished::Done { user: row.user_id, lane: row.lane_id }))
}
