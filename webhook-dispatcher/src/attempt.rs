//! The SQL of a delivery attempt: claim a delivery under a lease, record the result, give the claim back. The
//! later writes name the attempt and the lease's owner, so a dispatcher whose lease expired changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Integer, Interval, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::deliveries::DeliveryStatus;
use shared::ids::{DeliveryId, LaneId, RunId, UserId};
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
    #[diesel(sql_type = SqlUuid)]
    pub run_id: RunId,
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Text)]
    pub url: String,
    /// By the database's clock. It is also the attempt's `webhook-timestamp`.
    #[diesel(sql_type = Timestamptz)]
    pub claimed_at: DateTime<Utc>,
    /// When the run ended.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// The id of the request that created the run.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
}

/// Claims the lane's oldest due delivery, unless [`LANE_SHARE`] requests of the lane are in flight.
pub async fn claim(
    conn: &mut Connection,
    dispatcher: &str,
    lane: LaneId,
) -> Result<Option<Claimed>, DbError> {
    let sql = "SELECT id, attempt, user_id, run_id, type, url, claimed_at, created_at,
                      run_request_id_v1(run_id) AS request_id
               FROM claim_delivery_v1($1, $2, $3, $4)";
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
SET attempt = attempt - 1, lease_owner = NULL, lease_expires_at = NULL, next_attempt_at = capi_now() + $4
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
    /// A sentence for the receiver's owner. `None` means delivered.
    pub error: Option<CleanText>,
    /// The stable name of the failure.
    pub reason: Option<&'static str>,
    /// The beginning of the answer's body.
    pub response_body: Option<CleanText>,
    /// The seconds that the answer's `Retry-After` asks for.
    pub retry_after: Option<u64>,
}

impl AttemptResult {
    #[must_use]
    pub fn failed(reason: &'static str, error: &str) -> Self {
        Self { reason: Some(reason), error: Some(CleanText::new(error, MAX_ERROR_BYTES)), ..Self::default() }
    }

    /// Of an attempt for which no request could be made.
    #[must_use]
    pub fn not_sent(error: &str) -> Self {
        Self::failed("not_sent", error)
    }
}

const RECORD: &str = "
WITH mine AS (
    UPDATE webhook_deliveries
    SET status = $3, next_attempt_at = CASE WHEN $3 = 'retrying' THEN capi_now() + $4 END,
        lease_owner = NULL, lease_expires_at = NULL
    WHERE id = $1 AND attempt = $2 AND lease_owner = $10 AND status IN ('pending', 'retrying')
    RETURNING id, attempt
)
INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms, status_code, error, response_body)
SELECT id, attempt, $5, $6, $7, $8, $9 FROM mine";

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
        .bind::<Nullable<Text>, _>(result.error.as_deref())
        .bind::<Nullable<Text>, _>(result.response_body.as_deref())
        .bind::<Text, _>(dispatcher)
        .execute(conn)
        .await?;
    Ok(written == 1)
}
