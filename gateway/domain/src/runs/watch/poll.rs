//! Reads how far the watched runs are, all in one statement, and wakes the watchers of those that changed. So
//! a lost broadcast delays a stream by two seconds, and thousands of streams cost one statement.

use std::collections::HashMap;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, statement};
use shared::ids::RunId;
use shared::lifecycle::Lifecycle;

use super::RunWatchers;

/// How often the watched runs are read.
pub(super) const POLL_EVERY: Duration = Duration::from_secs(2);
/// Runs that one statement reads.
const RUNS_AT_ONCE: usize = 1000;

/// The number of a run's last event. `None` for a run that was deleted.
pub(super) type LastSeq = Option<i64>;

impl RunWatchers {
    /// Polls until the process stops.
    pub async fn poll(self, db: Db, lifecycle: Lifecycle) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = lifecycle.stopping().cancelled() => return,
            }
            let runs: Vec<RunId> = self.lock().runs.keys().copied().collect();
            for part in runs.chunks(RUNS_AT_ONCE) {
                match read(&db, part).await {
                    Ok(found) => self.compare(part, &found),
                    Err(error) => tracing::debug!(%error, "failed to poll the watched runs; polling again"),
                }
            }
        }
    }

    /// Wakes the watchers of the runs that have changed since the last poll. The first poll of a run wakes
    /// them in any case: it does not know what they have read.
    pub(super) fn compare(&self, runs: &[RunId], found: &HashMap<RunId, i64>) {
        let mut state = self.lock();
        for run in runs {
            let Some(watched) = state.runs.get_mut(run) else { continue };
            let now: LastSeq = found.get(run).copied();
            if watched.polled.replace(now) != Some(now) {
                watched.changed.send_replace(());
            }
        }
    }
}

async fn read(db: &Db, runs: &[RunId]) -> Result<HashMap<RunId, i64>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: RunId,
        #[diesel(sql_type = BigInt)]
        last_seq: i64,
    }
    let rows: Vec<Row> = db
        .read(|mut conn| async move {
            let sql = "SELECT id, last_seq FROM runs WHERE id = ANY ($1)";
            Ok(statement(sql).bind::<Array<SqlUuid>, _>(runs).load(&mut conn).await?)
        })
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.last_seq)).collect())
}
