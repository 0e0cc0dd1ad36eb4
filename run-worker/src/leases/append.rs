//! Appends events to the logs of runs that this worker holds, and counts what they use of the accounts'
//! quotas. The steps that queued up while the last ones were written go out as one statement (see
//! [`shared::batch`]).

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Interval, Nullable};
use diesel_async::RunQueryDsl;
use shared::batch::SetCall;
use shared::config::Quotas;
use shared::db::{Connection, Db, DbError, interval, statement};
use shared::runs::events::EventData;
use shared::runs::{Fence, WriteSet, bytes_about};

/// Events to be written after number `after` of a run's log. The write also renews the lease.
#[derive(Debug, Clone)]
pub struct Append {
    pub fence: Fence,
    pub after: i64,
    pub events: Vec<EventData>,
    /// The quotas of the run's account. The call fails with [`DbError::is_over_quota`], and writes nothing,
    /// if the artifacts among the events would exceed its stored bytes.
    pub quotas: Quotas,
}

/// Writes steps. The answer is false for a stale write, and if the log is longer than `after`. The latter
/// happens when the events were committed but the answer was lost.
pub struct Appending {
    db: Db,
    lease: Duration,
}

impl Appending {
    #[must_use]
    pub const fn new(db: Db, lease: Duration) -> Self {
        Self { db, lease }
    }
}

impl SetCall for Appending {
    type Item = Arc<Append>;
    type Answer = bool;

    async fn together(&self, steps: &[Arc<Append>]) -> Result<Vec<Option<bool>>, DbError> {
        self.db.write(|mut conn| async move { append_set(&mut conn, steps, self.lease, false).await }).await
    }

    async fn alone(&self, step: &Arc<Append>) -> Result<bool, DbError> {
        self.db.write(|mut conn| async move { append_alone(&mut conn, step, self.lease).await }).await
    }

    fn bytes(&self, step: &Arc<Append>) -> usize {
        bytes_about(&step.events)
    }
}

#[derive(QueryableByName)]
struct WrittenRow {
    #[diesel(sql_type = Array<Nullable<Bool>>)]
    written: Vec<Option<bool>>,
}

/// One statement. `None` for a run that another transaction has locked, unless it waits for the locks.
pub async fn append_set(
    conn: &mut Connection,
    steps: &[Arc<Append>],
    lease: Duration,
    wait: bool,
) -> Result<Vec<Option<bool>>, DbError> {
    let mut set = WriteSet::default();
    let (mut counted_bytes, mut counted_most) = (Vec::new(), Vec::new());
    for step in steps {
        let usage = set.add(step.fence, step.after, &step.events, None);
        let tokens = step.quotas.max_tokens_per_day.map_or(0, |_| usage.tokens());
        let bytes = step.quotas.max_stored_bytes.map_or(0, |_| artifact_bytes(&step.events));
        if tokens > 0 || bytes > 0 {
            set.count(tokens);
            counted_bytes.push(bytes);
            let most = step.quotas.max_stored_bytes.unwrap_or(u64::MAX);
            counted_most.push(i64::try_from(most).unwrap_or(i64::MAX));
        }
    }
    let sql =
        "SELECT append_runs_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                   $18, $19, $20, $21, $22, $23) AS written";
    let start = statement(sql).bind::<Bool, _>(wait).bind::<Interval, _>(interval(lease));
    let mut rows: Vec<WrittenRow> = set
        .bind_to(start)
        .bind::<Array<BigInt>, _>(counted_bytes)
        .bind::<Array<BigInt>, _>(counted_most)
        .load(conn)
        .await?;
    Ok(rows.pop().map_or_else(Vec::new, |row| row.written))
}

async fn append_alone(conn: &mut Connection, step: &Arc<Append>, lease: Duration) -> Result<bool, DbError> {
    let written = append_set(conn, slice::from_ref(step), lease, true).await?.pop().flatten();
    Ok(written.unwrap_or(false))
}

/// Appends events of an account without quotas. For tests.
pub async fn append(
    conn: &mut Connection,
    fence: Fence,
    after: i64,
    events: &[EventData],
    lease: Duration,
) -> Result<bool, DbError> {
    let step = Append { fence, after, events: events.to_vec(), quotas: Quotas::default() };
    append_alone(conn, &Arc::new(step), lease).await
}

fn artifact_bytes(events: &[EventData]) -> i64 {
    let sizes = events.iter().filter_map(|event| match event {
        EventData::Artifact(artifact) => Some(artifact.size),
        _ => None,
    });
    sizes.map(|size| i64::try_from(size).unwrap_or(i64::MAX)).fold(0, i64::saturating_add)
}
