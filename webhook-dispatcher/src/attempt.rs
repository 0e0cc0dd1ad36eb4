//! The SQL of a delivery attempt: claim a delivery under a lease, record the result, give the claim back. The
//! later writes name the attempt and the lease's owner, so a dispatcher whose lease expired changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Integer, Interval, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::deliveries::{DeliveryError, DeliveryStatus, PING};
use shared::ids::{ArtifactId, DeliveryId, LaneId, RunId, UserId};
use shared::text::CleanText;

use crate::circuit;
use crate::shares::Offer;

/// Longer than the longest request and its recording, so that two dispatchers never send a delivery at once.
pub const LEASE: Duration = Duration::from_secs(30);
/// Requests that a lane whose host works may have in flight over all dispatchers. Any other lane has one.
pub const LANE_SHARE: i32 = 4;
const MAX_ERROR_BYTES: usize = 300;

/// A delivery under this dispatcher's lease.
#[derive(Debug, Clone, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    pub id: DeliveryId,
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// `None` for a test.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub run_id: Option<RunId>,
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Text)]
    pub url: String,
    /// By the database's clock. It is also the attempt's `webhook-timestamp`.
    #[diesel(sql_type = Timestamptz)]
    pub claimed_at: DateTime<Utc>,
    /// When the event occurred, or when the test was asked for.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// Of `run.artifact`.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub artifact_id: Option<ArtifactId>,
    /// The attempts before this schedule of attempts.
    #[diesel(sql_type = Integer)]
    pub earlier_attempts: i32,
    /// The start of this schedule: when the event occurred, or when the delivery was last sent again.
    #[diesel(sql_type = Timestamptz)]
    pub scheduled_at: DateTime<Utc>,
    /// The id of the request that created the run.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    pub lane_id: LaneId,
    /// Failures of the lane's host in a row. `None`: no attempt yet.
    #[diesel(sql_type = Nullable<Integer>)]
    pub failures: Option<i32>,
    /// Whether the lane has room for another due delivery.
    #[diesel(sql_type = Bool)]
    pub more: bool,
}

impl Claimed {
    /// The number of this attempt within the schedule, from 1.
    #[must_use]
    pub const fn in_schedule(&self) -> i32 {
        self.attempt - self.earlier_attempts
    }

    /// The time since the start of the schedule.
    #[must_use]
    pub fn age(&self) -> Duration {
        (self.claimed_at - self.scheduled_at).to_std().unwrap_or_default()
    }

    /// Whether it is unknown that the host works. Tests are for any host.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.failures != Some(0) || self.is_ping()
    }

    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.r#type == PING
    }
}

/// Claims the lane's oldest due delivery, unless the lane is closed, its share is in flight, or `offer`
/// leaves it out.
pub async fn claim(
    conn: &mut Connection,
    dispatcher: &str,
    lane: LaneId,
    offer: &Offer,
) -> Result<Option<Claimed>, DbError> {
    let sql = "SELECT id, attempt, user_id, run_id, type, url, claimed_at, created_at, artifact_id,
                      earlier_attempts, scheduled_at, run_request_id_v1(run_id) AS request_id, lane_id,
                      failures, more
               FROM claim_delivery_v2($1, $2, $3, $4, $5, $6, $7)";
    let mut claimed: Vec<Claimed> = statement(sql)
        .bind::<SqlUuid, _>(lane.uuid())
        .bind::<Text, _>(dispatcher)
        .bind::<Interval, _>(interval(LEASE))
        .bind::<Integer, _>(LANE_SHARE)
        .bind::<Array<SqlUuid>, _>(&offer.full)
        .bind::<Array<SqlUuid>, _>(&offer.doubtful_full)
        .bind::<Bool, _>(offer.doubtful)
        .load(conn)
        .await?;
    Ok(claimed.pop())
}

/// The plan of a webhook's owner.
pub async fn plan_of(conn: &mut Connection, user: UserId) -> Result<Option<String>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        plan: String,
    }
    let sql = "SELECT plan FROM users WHERE id = $1";
    let mut found: Vec<Row> = statement(sql).bind::<SqlUuid, _>(user.uuid()).load(conn).await?;
    Ok(found.pop().map(|row| row.plan))
}

const GIVE_BACK: &str = "
UPDATE webhook_deliveries
SET attempt = attempt - 1, lease_owner = NULL, lease_expires_at = NULL,
    next_attempt_at = CASE WHEN due_at IS NULL THEN capi_now() + $4 ELSE next_attempt_at END,
    due_at = CASE WHEN due_at IS NOT NULL THEN capi_now() + $4 END
WHERE id = $1 AND attempt = $2 AND lease_owner = $3 AND status IN ('pending', 'retrying')";

/// Gives back a claim for which nothing was sent. It does not count as an attempt, and is due again after
/// `wait`.
pub async fn give_back(
    conn: &mut Connection,
    dispatcher: &str,
    claimed: &Claimed,
    wait: Duration,
) -> Result<bool, DbError> {
    let given = statement(GIVE_BACK)
        .bind::<SqlUuid, _>(claimed.id.uuid())
        .bind::<Integer, _>(claimed.attempt)
        .bind::<Text, _>(dispatcher)
        .bind::<Interval, _>(interval(wait))
        .execute(conn)
        .await?;
    Ok(given == 1)
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptResult {
    /// From connecting to the status of the answer, or to the failure.
    pub duration: Duration,
    pub status_code: Option<u16>,
    /// `None` means delivered.
    pub error: Option<DeliveryError>,
    /// A sentence for the receiver's owner, beside the error.
    pub message: Option<CleanText>,
    /// The beginning of the answer's body.
    pub response_body: Option<CleanText>,
    /// The seconds that the answer's `Retry-After` asks for.
    pub retry_after: Option<u64>,
}

impl AttemptResult {
    #[must_use]
    pub fn failed(error: DeliveryError, message: &str) -> Self {
        let message = Some(CleanText::new(message, MAX_ERROR_BYTES));
        Self { error: Some(error), message, ..Self::default() }
    }

    /// Of an attempt for which no request could be made.
    #[must_use]
    pub fn not_sent(message: &str) -> Self {
        Self::failed(DeliveryError::NotSent, message)
    }
}

const RECORD: &str = "
WITH mine AS (
    UPDATE webhook_deliveries
    SET status = $3,
        next_attempt_at = CASE WHEN $3 <> 'retrying' THEN NULL WHEN due_at IS NULL THEN capi_now() + $4
                          ELSE next_attempt_at END,
        due_at = CASE WHEN $3 = 'retrying' AND due_at IS NOT NULL THEN capi_now() + $4 END,
        lease_owner = NULL, lease_expires_at = NULL
    WHERE id = $1 AND attempt = $2 AND lease_owner = $10 AND status IN ('pending', 'retrying')
    RETURNING id, attempt
), noted AS (
    INSERT INTO webhook_attempts
        (delivery_id, number, at, duration_ms, status_code, error, response_body, error_code)
    SELECT id, attempt, $5, $6, $7, $8, $9, $11 FROM mine
    RETURNING 1
), lane AS (
    UPDATE webhook_lanes l
    SET failures = $13, closed_until = capi_now() + $14, last_error = CASE WHEN $13 > 0 THEN $11 END
    WHERE l.id = $12 AND $13 IS NOT NULL AND l.failures IS NOT DISTINCT FROM $15
      AND EXISTS (SELECT 1 FROM mine)
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM noted) AS written, EXISTS (SELECT 1 FROM lane) AS lane_changed";

/// What [`record`] wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Recorded {
    /// False if the lease was lost or the attempt is already recorded.
    #[diesel(sql_type = Bool)]
    pub written: bool,
    /// False if there was no change, or another attempt changed the lane meanwhile.
    #[diesel(sql_type = Bool)]
    pub lane_changed: bool,
}

/// How a delivery and its lane go on after an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    pub status: DeliveryStatus,
    /// Until the next attempt.
    pub wait: Duration,
    pub lane: Option<circuit::Change>,
}

/// Records the attempt, the delivery's next status, and a change of its lane.
pub async fn record(
    conn: &mut Connection,
    dispatcher: &str,
    claimed: &Claimed,
    result: &AttemptResult,
    next: Next,
) -> Result<Recorded, DbError> {
    statement(RECORD)
        .bind::<SqlUuid, _>(claimed.id.uuid())
        .bind::<Integer, _>(claimed.attempt)
        .bind::<Text, _>(next.status.as_str())
        .bind::<Interval, _>(interval(next.wait))
        .bind::<Timestamptz, _>(claimed.claimed_at)
        .bind::<Integer, _>(i32::try_from(result.duration.as_millis()).unwrap_or(i32::MAX))
        .bind::<Nullable<Integer>, _>(result.status_code.map(i32::from))
        .bind::<Nullable<Text>, _>(result.message.as_deref())
        .bind::<Nullable<Text>, _>(result.response_body.as_deref())
        .bind::<Text, _>(dispatcher)
        .bind::<Nullable<Text>, _>(result.error.map(DeliveryError::as_str))
        .bind::<SqlUuid, _>(claimed.lane_id.uuid())
        .bind::<Nullable<Integer>, _>(next.lane.map(|lane| lane.failures))
        .bind::<Nullable<Interval>, _>(next.lane.and_then(|lane| lane.closed_for).map(interval))
        .bind::<Nullable<Integer>, _>(claimed.failures)
        .get_result(conn)
        .await
        .map_err(Into::into)
}
