//! Claims: how pending runs become this worker's.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::deserialize;
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, interval, statement};
use shared::ids::{RunId, UserId};
use shared::runs::Fence;
use uuid::Uuid;

/// The worker that claims, and the terms of its claims.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The worker's name in rows and logs.
    pub worker: String,
    pub lease: Duration,
    /// The plans' caps on running runs, as `{plan: cap}`.
    pub caps: Value,
    /// The cap for accounts whose plan is not in `caps`.
    pub smallest_cap: i32,
    /// See [`super::isolation::suspects_at_once`].
    pub suspects_at_once: i32,
}

/// A run that this worker holds.
#[derive(Debug, Clone, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    pub id: RunId,
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    /// The id of the claim or takeover that gave this worker the run.
    #[diesel(sql_type = SqlUuid)]
    pub lease_claim: Uuid,
    #[diesel(sql_type = BigInt)]
    pub last_seq: i64,
    #[diesel(sql_type = Integer)]
    pub losses: i32,
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    #[diesel(sql_type = Text)]
    pub plan: String,
    #[diesel(sql_type = Text)]
    pub chat_model_id: String,
    #[diesel(sql_type = Jsonb)]
    pub inputs: Value,
    #[diesel(sql_type = Jsonb)]
    pub definition: Value,
    /// Seconds in which workers worked on the run before. The time between two attempts does not count.
    #[diesel(sql_type = Double)]
    pub seconds_used: f64,
    /// The id of the request that created the run. Runs that a gateway of the former version created have
    /// none.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
}

impl Claimed {
    /// The values that fence every write.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { run: self.id, attempt: self.attempt, claim: self.lease_claim }
    }

    /// The app version that the run was created with.
    pub fn app(&self) -> serde_json::Result<AppDefinition> {
        serde_json::from_value(self.definition.clone())
    }
}

/// A user, and a number of their pending runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub user: UserId,
    pub count: u32,
}

/// What [`claim`] did.
#[derive(Debug, Default)]
pub struct ClaimedSet {
    pub runs: Vec<Claimed>,
    /// Users who can start more runs than were claimed, and how many more: at most 64 each.
    pub more: Vec<Wanted>,
    /// Users whose slot another transaction had locked, with the number that was wanted. Nothing of them was
    /// claimed. Claim for each again, with `wait`.
    pub locked: Vec<Wanted>,
}

/// A row of `claim_runs_v2`.
enum Row {
    Run(Box<Claimed>),
    User { user: UserId, more: i32, locked: bool },
}

impl QueryableByName<Pg> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let run: Option<RunId> = NamedRow::get::<Nullable<SqlUuid>, _>(row, "id")?;
        if run.is_some() {
            return Ok(Self::Run(Box::new(<Claimed as QueryableByName<Pg>>::build(row)?)));
        }
        Ok(Self::User {
            user: NamedRow::get::<SqlUuid, _>(row, "user_id")?,
            more: NamedRow::get::<Integer, _>(row, "more")?,
            locked: NamedRow::get::<Bool, _>(row, "locked")?,
        })
    }
}

/// Starts the oldest pending runs of these users, as many as wanted, as the caps of their plans allow, and as
/// there are places. No user may be listed twice. If the places are few, the users with the fewest running
/// runs come first. `claim` must be a new id. With `wait`, the statement waits for locked users.
///
/// If this fails and the statement was sent, the runs may be claimed. Then
/// [`super::in_doubt::give_back_later`] must know.
pub async fn claim(
    conn: &mut Connection,
    by: &Claimant,
    claim: Uuid,
    wanted: &[Wanted],
    places: u32,
    wait: bool,
) -> Result<ClaimedSet, DbError> {
    let bounded = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let (users, counts): (Vec<_>, Vec<_>) =
        wanted.iter().map(|wanted| (wanted.user.uuid(), bounded(wanted.count))).unzip();
    let rows: Vec<Row> = statement("SELECT * FROM claim_runs_v2($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind::<Array<SqlUuid>, _>(users)
        .bind::<Array<Integer>, _>(counts)
        .bind::<Integer, _>(bounded(places))
        .bind::<Text, _>(&by.worker)
        .bind::<SqlUuid, _>(claim)
        .bind::<Interval, _>(interval(by.lease))
        .bind::<Jsonb, _>(&by.caps)
        .bind::<Integer, _>(by.smallest_cap)
        .bind::<Bool, _>(wait)
        .load(conn)
        .await?;
    let mut set = ClaimedSet::default();
    for row in rows {
        match row {
            Row::Run(run) => set.runs.push(*run),
            Row::User { user, locked: true, .. } => {
                set.locked.extend(wanted.iter().find(|wanted| wanted.user == user));
            }
            Row::User { user, more, .. } => {
                set.more.push(Wanted { user, count: u32::try_from(more).unwrap_or(0) });
            }
        }
    }
    Ok(set)
}
