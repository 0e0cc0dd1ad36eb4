//! Records the results of attempts, in sets: the delivery's next status, the attempt, and a change of its
//! lane. Each result has its own fence, the owner of its lease. So a dispatcher whose lease expired changes
//! nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Integer, Interval, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::batch::SetCall;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::deliveries::DeliveryError;
use shared::ids::{DeliveryId, LaneId};

use crate::attempt::{AttemptResult, Next};
use crate::claims::Claimed;

/// The result of one attempt.
pub struct Record {
    id: DeliveryId,
    attempt: i32,
    lease_owner: String,
    lane: LaneId,
    /// The lane's failures when the delivery was claimed.
    failures: Option<i32>,
    at: DateTime<Utc>,
    result: AttemptResult,
    next: Next,
}

impl Record {
    #[must_use]
    pub fn new(claimed: &Claimed, result: AttemptResult, next: Next) -> Self {
        Self {
            id: claimed.id,
            attempt: claimed.attempt,
            lease_owner: claimed.lease_owner.clone(),
            lane: claimed.lane_id,
            failures: claimed.failures,
            at: claimed.claimed_at,
            result,
            next,
        }
    }

    /// The same without the texts of the receiver.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        let result = AttemptResult { message: None, response_body: None, ..self.result.clone() };
        Self { lease_owner: self.lease_owner.clone(), result, ..*self }
    }
}

/// What a record wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// False if the lease was lost or the attempt is already recorded.
    pub written: bool,
    /// False if there was no change, or another attempt changed the lane meanwhile.
    pub lane_changed: bool,
}

#[derive(QueryableByName)]
struct Row {
    /// The place of the result in the set, from 1.
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Bool)]
    written: bool,
    #[diesel(sql_type = Bool)]
    lane_changed: bool,
}

const RECORD: &str = "SELECT number, written, lane_changed FROM record_deliveries_v1(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// Records a set of results. `None` for a delivery that another transaction has locked; with `wait` it waits.
pub async fn record(
    conn: &mut Connection,
    set: &[Arc<Record>],
    wait: bool,
) -> Result<Vec<Option<Recorded>>, DbError> {
    fn all<'a, T>(set: &'a [Arc<Record>], column: impl Fn(&'a Record) -> T) -> Vec<T> {
        set.iter().map(|record| column(record)).collect()
    }
    let millis = |record: &Record| i32::try_from(record.result.duration.as_millis()).unwrap_or(i32::MAX);
    let closed_for = |record: &Record| record.next.lane.and_then(|lane| lane.closed_for).map(interval);
    let rows: Vec<Row> = statement(RECORD)
        .bind::<Array<SqlUuid>, _>(all(set, |record| record.id))
        .bind::<Array<Integer>, _>(all(set, |record| record.attempt))
        .bind::<Array<Text>, _>(all(set, |record| record.lease_owner.as_str()))
        .bind::<Array<Text>, _>(all(set, |record| record.next.status.as_str()))
        .bind::<Array<Interval>, _>(all(set, |record| interval(record.next.wait)))
        .bind::<Array<Timestamptz>, _>(all(set, |record| record.at))
        .bind::<Array<Integer>, _>(all(set, millis))
        .bind::<Array<Nullable<Integer>>, _>(all(set, |record| record.result.status_code.map(i32::from)))
        .bind::<Array<Nullable<Text>>, _>(all(set, |record| record.result.message.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(set, |record| record.result.response_body.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(set, |record| record.result.error.map(DeliveryError::as_str)))
        .bind::<Array<SqlUuid>, _>(all(set, |record| record.lane))
        .bind::<Array<Nullable<Integer>>, _>(all(set, |record| record.next.lane.map(|lane| lane.failures)))
        .bind::<Array<Nullable<Interval>>, _>(all(set, closed_for))
        .bind::<Array<Nullable<Integer>>, _>(all(set, |record| record.failures))
        .bind::<Bool, _>(wait)
        .load(conn)
        .await?;
    let mut recorded = vec![None; set.len()];
    for Row { number, written, lane_changed } in rows {
        let place = usize::try_from(number - 1).ok().and_then(|index| recorded.get_mut(index));
        if let Some(place) = place {
            *place = Some(Recorded { written, lane_changed });
        }
    }
    Ok(recorded)
}

/// Records results that are there at the same time with one statement.
pub struct Recording(pub Db);

impl SetCall for Recording {
    type Item = Arc<Record>;
    type Answer = Recorded;

    async fn together(&self, set: &[Arc<Record>]) -> Result<Vec<Option<Recorded>>, DbError> {
        self.0.write(|mut conn| async move { record(&mut conn, set, false).await }).await
    }

    async fn alone(&self, one: &Arc<Record>) -> Result<Recorded, DbError> {
        let set = std::slice::from_ref(one);
        let recorded = self.0.write(|mut conn| async move { record(&mut conn, set, true).await }).await?;
        Ok(recorded.into_iter().flatten().next().unwrap_or_default())
    }
}
