//! Finds the objects that nothing references. Failed creates leave input files, and lost attempts leave
//! snapshots.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;

use super::{Artifacts, CompareError, Stored};
use crate::db::{Connection, Db, DbError, statement};
use crate::ids::RunId;

/// The age of garbage. No request, tool call or step takes as long.
pub const MIN_AGE: TimeDelta = TimeDelta::days(1);
/// Objects that one query checks.
const BATCH: usize = 500;

/// What one pass over the store found.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Unreferenced objects, at most as many as were asked for.
    pub objects: Vec<Stored>,
    /// How many there are in all.
    pub count: u64,
    /// How many of them are in folders of runs that the database does not know.
    pub unknown: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All objects that were listed.
    pub listed: u64,
}

/// Lists the store. Garbage is what was written before `then` and what no artifact and no input file
/// references. All objects of a run that is not over are kept: its snapshots name each other, and the worker
/// deletes what it replaced. Objects outside the folders of runs do not belong to capi.
pub async fn find_garbage(
    db: &Db,
    store: &Artifacts,
    then: DateTime<Utc>,
    max: usize,
) -> Result<Garbage, CompareError> {
    let (mut batches, mut found) = (store.list(None).chunks(BATCH), Garbage::default());
    while let Some(batch) = batches.next().await {
        let batch: Vec<Stored> = batch.into_iter().collect::<Result<_, _>>()?;
        found.listed += batch.len() as u64;
        let old: Vec<_> = batch.into_iter().filter(|object| object.written < then).collect();
        let runs: HashSet<RunId> = old.iter().filter_map(|object| object.run).collect();
        let runs: Vec<RunId> = runs.into_iter().collect();
        let asked = &runs;
        let kept = db.read(|mut conn| async move { Kept::load(&mut conn, asked).await }).await?;
        for object in old {
            if let Some(run) = object.run.filter(|run| !kept.holds(*run, &object)) {
                found.count += 1;
                found.unknown += u64::from(!kept.known.contains(&run));
                found.bytes += object.size;
                if found.objects.len() < max {
                    found.objects.push(object);
                }
            }
        }
    }
    Ok(found)
}

/// What the database references in some runs.
struct Kept {
    /// Runs of this database.
    known: HashSet<RunId>,
    /// Those that are not over.
    open: HashSet<RunId>,
    keys: HashSet<String>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    known: Option<RunId>,
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
}

impl Kept {
    async fn load(conn: &mut Connection, runs: &[RunId]) -> Result<Self, DbError> {
        let sql = "
            SELECT id AS known, status IN ('pending', 'running') AS is_open, NULL AS key
            FROM runs WHERE id = ANY ($1)
            UNION ALL SELECT NULL, false, 'runs/' || run_id || '/artifacts/' || id
            FROM artifacts WHERE run_id = ANY ($1)
            UNION ALL SELECT NULL, false, 'runs/' || run_id || '/files/' || id
            FROM run_files WHERE run_id = ANY ($1)";
        let rows: Vec<Row> = statement(sql).bind::<Array<SqlUuid>, _>(runs).load(conn).await?;
        let mut kept = Self { known: HashSet::new(), open: HashSet::new(), keys: HashSet::new() };
        for row in rows {
            kept.known.extend(row.known);
            kept.open.extend(row.known.filter(|_| row.is_open));
            kept.keys.extend(row.key);
        }
        Ok(kept)
    }

    fn holds(&self, run: RunId, object: &Stored) -> bool {
        self.open.contains(&run) || self.keys.contains(&object.key.to_string())
    }
}
