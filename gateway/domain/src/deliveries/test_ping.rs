//! Tests a receiver: a dispatcher sends a signed `ping` to it, and the client waits for the result. The
//! gateway itself sends no request to addresses that users give.
//!
//! The test is a delivery without a run, in a lane of its own: the backlog of a receiver does not delay it.
//! It has one attempt. If no dispatcher takes it soon, it is withdrawn.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Interval, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, interval, statement};
use shared::deliveries::PING_WAIT;
use shared::ids::{DeliveryId, LaneId, UserId};
use shared::net::public_url::PublicUrl;
use shared::queue::{Publisher, WorkQueue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Refusal;

/// The lane of an account's tests. No host has this name, because a lane of a host has a port.
const LANE: &str = "ping";
/// Tests of one account in flight, over all gateways.
const MAX_IN_FLIGHT: i64 = 4;
/// Tests of one account in a minute, over all gateways: capi is no tool to send requests with.
pub const MAX_PER_MINUTE: i64 = 10;
/// A dispatcher takes a test at once. The dispatchers' sweeper, which repairs a lost nudge, runs every 2 s.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// The time between two reads of the result: short at first, because most receivers answer at once.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

const NO_DISPATCHER: Refusal =
    Refusal::Unavailable("no webhook-dispatcher took the test, so nothing was sent; try again");
const NO_RESULT: Refusal =
    Refusal::Unavailable("the webhook-dispatcher did not report a result in time; try again");

/// What the receiver answered.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct PingResult {
    #[diesel(sql_type = Nullable<Integer>)]
    pub status_code: Option<i32>,
    #[diesel(sql_type = Integer)]
    pub duration_ms: i32,
    /// The code of the error. `None` means that the receiver took the test.
    #[diesel(sql_type = Nullable<Text>)]
    pub error: Option<String>,
    /// A sentence beside the code.
    #[diesel(sql_type = Nullable<Text>)]
    pub error_message: Option<String>,
    /// The beginning of the answer. `None` if it came from an internal network.
    #[diesel(sql_type = Nullable<Text>)]
    pub response_body: Option<String>,
}

/// Sends a test to the URL and returns the result.
pub async fn test_ping(
    db: &Db,
    publisher: &Publisher,
    stopping: &CancellationToken,
    user: UserId,
    url: &PublicUrl,
) -> Result<PingResult, Refusal> {
    let started = Instant::now();
    let (ping, lane) = insert(db, user, url).await?;
    publisher.nudge(WorkQueue::Deliveries, lane.uuid());
    let waiting = async {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            if let Some(result) = read(db, ping).await? {
                return Ok(result);
            }
            if started.elapsed() >= TAKEN_WITHIN && withdraw(db, ping).await? {
                return Err(NO_DISPATCHER);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        result = waiting => result,
        () = tokio::time::sleep_until(started + PING_WAIT) => Err(NO_RESULT),
        () = stopping.cancelled() => Err(Refusal::Unavailable("the gateway is stopping; try again")),
    }
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    in_flight: i64,
    #[diesel(sql_type = BigInt)]
    last_minute: i64,
}

const LANE_OF: &str = "SELECT webhook_lane_v1($1, $2) AS id";

/// Of concurrent tests each sees those before it. A statement of its own sees a lane that was just made.
const LOCK_LANE: &str = "SELECT 1 FROM webhook_lanes WHERE id = $1 FOR NO KEY UPDATE";

/// A test that is older than the wait is not sent any more.
const COUNT: &str = "
SELECT count(*) AS last_minute,
       count(*) FILTER (WHERE status IN ('pending', 'retrying') AND created_at > capi_now() - $2) AS in_flight
FROM webhook_deliveries
WHERE user_id = $1 AND type = 'ping' AND created_at > (SELECT capi_now() - interval '1 minute')";

const INSERT: &str = "
INSERT INTO webhook_deliveries (id, lane_id, user_id, type, url, status, next_attempt_at, due_at, created_at)
SELECT $1, $2, $3, 'ping', $4, 'pending', 'infinity', clock.at, clock.at
FROM (SELECT capi_now() AS at OFFSET 0) clock";

#[derive(QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    id: LaneId,
}

async fn insert(db: &Db, user: UserId, url: &PublicUrl) -> Result<(DeliveryId, LaneId), Refusal> {
    let ping = DeliveryId::generate();
    let inserting = db.write(|mut conn| async move {
        conn.build_transaction().run(async |conn| insert_within(conn, user, ping, url).await).await
    });
    inserting.await?.map(|lane| (ping, lane))
}

async fn insert_within(
    conn: &mut diesel_async::AsyncPgConnection,
    user: UserId,
    ping: DeliveryId,
    url: &PublicUrl,
) -> Result<Result<LaneId, Refusal>, DbError> {
    let lane: LaneRow =
        statement(LANE_OF).bind::<SqlUuid, _>(user.uuid()).bind::<Text, _>(LANE).get_result(conn).await?;
    statement(LOCK_LANE).bind::<SqlUuid, _>(lane.id.uuid()).execute(conn).await?;
    let count: CountRow = statement(COUNT)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Interval, _>(interval(PING_WAIT))
        .get_result(conn)
        .await?;
    if count.in_flight >= MAX_IN_FLIGHT || count.last_minute >= MAX_PER_MINUTE {
        return Ok(Err(Refusal::TooManyPings { in_flight: MAX_IN_FLIGHT, per_minute: MAX_PER_MINUTE }));
    }
    statement(INSERT)
        .bind::<SqlUuid, _>(ping.uuid())
        .bind::<SqlUuid, _>(lane.id.uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Text, _>(url.to_string())
        .execute(conn)
        .await?;
    Ok(Ok(lane.id))
}

/// The result, once a dispatcher recorded it.
async fn read(db: &Db, ping: DeliveryId) -> Result<Option<PingResult>, DbError> {
    const SQL: &str = "
        SELECT status_code, duration_ms, error AS error_message, response_body,
               webhook_error_code_v1(error_code, error, status_code) AS error
        FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number DESC LIMIT 1";
    db.read(|mut conn| async move {
        Ok(statement(SQL).bind::<SqlUuid, _>(ping.uuid()).load(&mut conn).await?.pop())
    })
    .await
}

/// Ends a test that no dispatcher holds. Returns false if one holds it or has recorded its result.
async fn withdraw(db: &Db, ping: DeliveryId) -> Result<bool, DbError> {
    const SQL: &str = "
        UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, due_at = NULL
        WHERE id = $1 AND lease_owner IS NULL AND status IN ('pending', 'retrying')";
    let withdrawn = db.write(|mut conn| async move {
        Ok(statement(SQL).bind::<SqlUuid, _>(ping.uuid()).execute(&mut conn).await?)
    });
    Ok(withdrawn.await? == 1)
}
