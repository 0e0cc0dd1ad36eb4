//! The worker's end of runs: completed or failed. The ends that queued up while the last ones were written go
//! out as one statement (see [`crate::batch`]).

use std::slice;
use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::events::EventData;
use super::fence::Fence;
use super::outcome::RunEnd;
use super::write_set::{WriteSet, bytes_about};
use crate::batch::SetCall;
use crate::config::Quotas;
use crate::db::{Connection, Db, DbError, statement};
use crate::ids::{LaneId, UserId};

/// The end of a run, to be written.
#[derive(Debug, Clone)]
pub struct End {
    pub fence: Fence,
    /// The number of the last event that the worker knows. A longer log fences the end too.
    pub after: i64,
    /// The events before the terminal one. They are recorded in the same statement.
    pub last_events: Vec<EventData>,
    pub end: RunEnd,
    /// The quotas of the run's account.
    pub quotas: Quotas,
}

/// What [`Finishing`] or [`super::expire`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The run is over. Nudge the lane, and the user so many times.
    Done {
        user: UserId,
        /// The lane of the run's webhook delivery.
        lane: Option<LaneId>,
        /// Pending runs of the user that may start in the places that became free. For several ends of a
        /// user in one statement, the first one has the number for all of them.
        startable: u32,
    },
    /// A stale write: the guard did not match, so nothing changed.
    Fenced,
}

/// Writes the ends of runs.
pub struct Finishing {
    db: Db,
}

impl Finishing {
    #[must_use]
    pub const fn new(db: Db) -> Self {
        Self { db }
    }
}

impl SetCall for Finishing {
    type Item = Arc<End>;
    type Answer = Finished;

    /// Waits for the users' slots for a short time. If one is locked for longer, only the ends of its user
    /// are not done.
    async fn together(&self, ends: &[Arc<End>]) -> Result<Vec<Option<Finished>>, DbError> {
        let write =
            |locks| self.db.write(move |mut conn| async move { write_ends(&mut conn, ends, locks).await });
        match write(Locks::Short).await {
            Err(error) if error.is_lock_timeout() => write(Locks::Skip).await,
            answered => answered,
        }
    }

    async fn alone(&self, end: &Arc<End>) -> Result<Finished, DbError> {
        self.db.write(|mut conn| async move { finish_alone(&mut conn, end).await }).await
    }

    fn bytes(&self, end: &Arc<End>) -> usize {
        let result = end.end.result().map_or(0, |result| result.text.len());
        bytes_about(&end.last_events) + result
    }
}

/// What a statement does about locks that other transactions hold.
#[derive(Clone, Copy)]
enum Locks {
    Wait,
    /// Waits a tenth of a second for the slots of the users and then fails. Skips the runs.
    Short,
    /// Skips both.
    Skip,
}

impl Locks {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Short => "short",
            Self::Skip => "skip",
        }
    }
}

#[derive(QueryableByName)]
struct EndRow {
    #[diesel(sql_type = Integer)]
    item: i32,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    lane_id: Option<LaneId>,
    #[diesel(sql_type = Integer)]
    startable: i32,
}

/// One statement. `None` for an end that was skipped.
async fn write_ends(
    conn: &mut Connection,
    ends: &[Arc<End>],
    locks: Locks,
) -> Result<Vec<Option<Finished>>, DbError> {
    let mut set = WriteSet::default();
    for end in ends {
        let usage = set.add(end.fence, end.after, &end.last_events, Some(&end.end.event()));
        if end.quotas.max_tokens_per_day.is_some() && usage.tokens() > 0 {
            set.count(usage.tokens());
        }
    }
    let errors = || ends.iter().map(|end| end.end.error());
    let results = ends.iter().map(|end| end.end.result().map(|result| json!(result)));
    let sql = "SELECT item, user_id, lane_id, startable
               FROM finish_runs_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                   $18, $19, $20, $21, $22, $23, $24, $25)";
    let rows: Vec<EndRow> = set
        .bind_to(statement(sql).bind::<Text, _>(locks.as_str()))
        .bind::<Array<Text>, _>(ends.iter().map(|end| end.end.status().as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Jsonb>>, _>(results.collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(
            errors().map(|error| error.map(|error| error.code.as_str())).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Jsonb>>, _>(
            errors().map(|error| error.map(|error| json!(error.stored()))).collect::<Vec<_>>(),
        )
        .bind::<Array<Bool>, _>(ends.iter().map(|end| matches!(end.end, RunEnd::Lost(_))).collect::<Vec<_>>())
        .load(conn)
        .await?;
    let mut answers = vec![None; ends.len()];
    for row in rows {
        if let Some(answer) = usize::try_from(row.item - 1).ok().and_then(|index| answers.get_mut(index)) {
            *answer = Some(row.user_id.map_or(Finished::Fenced, |user| Finished::Done {
                user,
                lane: row.lane_id,
                startable: u32::try_from(row.startable).unwrap_or(0),
            }));
        }
    }
    Ok(answers)
}

async fn finish_alone(conn: &mut Connection, end: &Arc<End>) -> Result<Finished, DbError> {
    let answer = write_ends(conn, slice::from_ref(end), Locks::Wait).await?.pop().flatten();
    Ok(answer.unwrap_or(Finished::Fenced))
}

/// The statement of a set. For tests.
pub async fn finish_set(conn: &mut Connection, ends: &[Arc<End>]) -> Result<Vec<Option<Finished>>, DbError> {
    write_ends(conn, ends, Locks::Short).await
}

/// Ends a run whose log is as the fence's holder left it. For tests.
pub async fn finish(
    conn: &mut Connection,
    fence: Fence,
    last_events: &[EventData],
    end: &RunEnd,
) -> Result<Finished, DbError> {
    #[derive(QueryableByName)]
    struct SeqRow {
        #[diesel(sql_type = BigInt)]
        last_seq: i64,
    }
    let sql = "SELECT last_seq FROM runs WHERE id = $1";
    let mut rows: Vec<SeqRow> = statement(sql).bind::<SqlUuid, _>(fence.run.uuid()).load(conn).await?;
    let after = rows.pop().map_or(0, |row| row.last_seq);
    let (last_events, quotas) = (last_events.to_vec(), Quotas::default());
    finish_alone(conn, &Arc::new(End { fence, after, last_events, end: end.clone(), quotas })).await
}
