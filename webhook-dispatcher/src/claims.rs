//! The SQL that leases deliveries: claim them for a set of lanes, and give claims back. Each claim has a
//! lease owner of its own. Later writes name it, so a dispatcher whose lease expired changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::deserialize;
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel::sql_types::{
    Array, Binary, Bool, Integer, Interval, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, interval, statement};
use shared::deliveries::PING;
use shared::ids::{ArtifactId, DeliveryId, LaneId, RunId, UserId};
use uuid::Uuid;

use crate::shares::Offer;

/// Longer than the longest request and its recording, so that two dispatchers never send a delivery at once.
pub const LEASE: Duration = Duration::from_secs(30);
/// Requests that a lane whose host works may have in flight over all dispatchers. Any other lane has one. A
/// lane whose host begins to hang keeps so many permits until its requests end. So a lane goes beyond four
/// only after an answer, and all lanes together by few: `claim_deliveries_v3` has the rules.
pub const LANE_SHARE: i32 = 16;

/// A delivery under a lease of this dispatcher.
#[derive(Clone, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    pub id: DeliveryId,
    /// Attempts whose results could not be recorded do not count.
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
    /// The claims in a row, right before this one, whose leases expired.
    #[diesel(sql_type = Integer)]
    pub lost_claims: i32,
    /// The owner of the lease: the dispatcher's name and an id of the claim.
    #[diesel(sql_type = Text)]
    pub lease_owner: String,
    #[diesel(sql_type = SqlUuid)]
    pub lane_id: LaneId,
    /// Failures of the lane's host in a row. `None`: no attempt yet.
    #[diesel(sql_type = Nullable<Integer>)]
    pub failures: Option<i32>,
    /// The id of the request that created the run.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
    /// The owner's plan.
    #[diesel(sql_type = Text)]
    pub plan: String,
    /// The owner's signing secrets that are valid now, newest first, encrypted.
    #[diesel(sql_type = Array<Binary>)]
    pub secrets: Vec<Vec<u8>>,
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

/// What a claim found.
#[derive(Default)]
pub struct Claims {
    pub claimed: Vec<Claimed>,
    /// Lanes with room for due deliveries that got no place.
    pub more: Vec<LaneId>,
    /// Lanes that another transaction had locked. None if the claim waited.
    pub locked: Vec<LaneId>,
}

enum Row {
    Claimed(Box<Claimed>),
    More(LaneId),
    Locked(LaneId),
}

impl QueryableByName<Pg> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let state: String = NamedRow::get::<Text, _>(row, "state")?;
        let lane = || NamedRow::get::<SqlUuid, LaneId>(row, "lane_id");
        match state.as_str() {
            "claimed" => Ok(Self::Claimed(Box::new(Claimed::build(row)?))),
            "more" => Ok(Self::More(lane()?)),
            "locked" => Ok(Self::Locked(lane()?)),
            other => Err(format!("{other:?} is no state of a claimed lane").into()),
        }
    }
}

/// Claims at most `places` deliveries of these lanes, the oldest of each lane first. Closed lanes and lanes
/// whose share is in flight get none, nor do users who may not have more permits of `offer`. With `wait` it
/// waits for lanes that are locked.
pub async fn claim(
    conn: &mut Connection,
    dispatcher: &str,
    lanes: &[LaneId],
    offer: &Offer,
    places: usize,
    wait: bool,
) -> Result<Claims, DbError> {
    let owner = format!("{dispatcher}/{}", Uuid::now_v7().simple());
    let rows: Vec<Row> =
        statement("SELECT * FROM claim_deliveries_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind::<Array<SqlUuid>, _>(lanes)
            .bind::<Text, _>(owner)
            .bind::<Interval, _>(interval(LEASE))
            .bind::<Integer, _>(LANE_SHARE)
            .bind::<Integer, _>(offer.permits)
            .bind::<Array<SqlUuid>, _>(&offer.users)
            .bind::<Array<Integer>, _>(&offer.held)
            .bind::<Array<Integer>, _>(&offer.doubtful)
            .bind::<Nullable<Array<SqlUuid>>, _>(&offer.answering)
            .bind::<Integer, _>(offer.wide)
            .bind::<Integer, _>(i32::try_from(places).unwrap_or(i32::MAX))
            .bind::<Bool, _>(wait)
            .load(conn)
            .await?;
    let mut claims = Claims::default();
    for row in rows {
        match row {
            Row::Claimed(claimed) => claims.claimed.push(*claimed),
            Row::More(lane) => claims.more.push(lane),
            Row::Locked(lane) => claims.locked.push(lane),
        }
    }
    Ok(claims)
}

const GIVE_BACK: &str = "
UPDATE webhook_deliveries d
SET attempt = d.attempt - 1, lease_owner = NULL, lease_expires_at = NULL,
    next_attempt_at = CASE WHEN d.due_at IS NULL THEN capi_now() + $3 ELSE d.next_attempt_at END,
    due_at = CASE WHEN d.due_at IS NOT NULL THEN capi_now() + $3 END
FROM unnest($1, $2) AS given (id, owner)
WHERE d.id = given.id AND d.lease_owner = given.owner AND d.status IN ('pending', 'retrying')";

/// Gives back claims for which nothing was sent. They do not count as attempts, and are due again after
/// `wait`. Returns how many it gave back: a claim whose lease was taken over is left as it is.
pub async fn give_back(conn: &mut Connection, claims: &[&Claimed], wait: Duration) -> Result<usize, DbError> {
    let ids: Vec<_> = claims.iter().map(|claimed| claimed.id).collect();
    let owners: Vec<_> = claims.iter().map(|claimed| claimed.lease_owner.as_str()).collect();
    let given = statement(GIVE_BACK)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Interval, _>(interval(wait))
        .execute(conn)
        .await?;
    Ok(given)
}
