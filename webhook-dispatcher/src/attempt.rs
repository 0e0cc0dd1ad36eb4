//! The SQL of a delivery attempt: claim a delivery under a lease, record the result, give the claim back. The
//! later writes name the attempt and the lease's owner, so a dispatcher whose lease expired changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Integer, Interval, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::deliveries::{DeliveryError, DeliveryStatus, PING};
use shared::ids::{ArtifactId, DeliveryId, LaneId, RunId, UserId};
use shared::text::CleanText;

/// Longer than the longest request and its recording, so that two dispatchers never send a delivery at once.
pub const LEASE: Duration = Duration::from_secs(30);
/// Requests that one lane may have in flight over all dispatchers, so that a host that hangs blocks no more.
const LANE_SHARE: i32 = 4;
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

    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.r#type == PING
    }
}

/// Claims the lane's oldest due delivery, unless [`LANE_SHARE`] requests of the lane are in flight.
pub async fn claim(
    conn: &mut Connection,
    dispatcher: &str,
    lane: LaneId,
) -> Result<Option<Claimed>, DbError> {
    let sql = "SELECT id, attempt, user_id, run_id, type, url, claimed_at, created_at, artifact_id,
                      earlier_attempts, scheduled_at, run_request_id_v1(run_id) AS request_id
               FROM claim_delivery_v2($1, $2, $3, $4)";
    let mut claimed: Vec<Claimed> = statement(sql)
        .bind::<SqlUuid, _>(lane.uuid())
        .bind::<Text, _>(dispatcher)
        .bind::<Interval, _>(interval(LEASE))
        .bind::<Integer, _>(LANE_SHARE)
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
)
INSERT INTO webhook_attempts
    (delivery_id, number, at, duration_ms, status_code, error, response_body, error_code)
SELECT id, attempt, $5, $6, $7, $8, $9, $11 FROM mine";

/// Records the attempt and the delivery's next status. Returns false if the lease was lost or the attempt is
/// already recorded.
pub async fn record(
    conn: &mut Connection,
    dispatcher: &str,
    claimed: &Claimed,
    result: &AttemptResult,
    status: DeliveryStatus,
    wait: Duration,
) -> Result<bool, DbError> {
    let written = statement(RECORD)
        .bind::<SqlUuid, _>(claimed.id.uuid())
        .bind::<Integer, _>(claimed.attempt)
        .bind::<Text, _>(status.as_str())
        .bind::<Interval, _>(interval(wait))
        .bind::<Timestamptz, _>(claimed.claimed_at)
        .bind::<Integer, _>(i32::try_from(result.duration.as_millis()).unwrap_or(i32::MAX))
        .bind::<Nullable<Integer>, _>(result.status_code.map(i32::from))
        .bind::<Nullable<Text>, _>(result.message.as_deref())
        .bind::<Nullable<Text>, _>(result.response_body.as_deref())
        .bind::<Text, _>(dispatcher)
        .bind::<Nullable<Text>, _>(result.error.map(DeliveryError::as_str))
        .execute(conn)
        .await?;
    Ok(written == 1)
}
