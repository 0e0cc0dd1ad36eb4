//! Deletes objects older than a day that no artifact, input file or current snapshot references. Failed
//! creates leave input files, and lost attempts leave snapshots. Several workers may sweep at once: a second
//! delete does nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::RunId;
use shared::storage::{Artifacts, ObjectKey, StorageError, Stored};

use crate::context::Context;

/// The age of deleted objects. No request, tool call or step takes as long.
const MIN_AGE: TimeDelta = TimeDelta::days(1);
const INTERVAL: Duration = Duration::from_hours(1);
/// Objects that one query checks.
const BATCH: usize = 500;

/// Why a sweep ended early. The next sweep starts from the beginning.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Runs until the process stops. The first sweep starts at a random time within the first hour, so that
/// workers which start together do not sweep together.
pub(crate) async fn sweep(context: Arc<Context>) {
    let mut pause = INTERVAL.mul_f64(rand::random());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        let sweeping = sweep_older(&context.db, &context.artifacts, Utc::now() - MIN_AGE);
        let swept = tokio::select! {
            swept = sweeping => swept,
            () = context.lifecycle.stopping().cancelled() => return,
        };
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deleted unreferenced objects"),
            Err(error) => tracing::warn!(%error, "failed to sweep the store"),
        }
        pause = INTERVAL;
    }
}

/// Deletes the unreferenced objects that were written before `then`. Returns their number.
pub async fn sweep_older(db: &Db, store: &Artifacts, then: DateTime<Utc>) -> Result<u64, SweepError> {
    let old = store.list(None).filter(|object| {
        let counts = object.as_ref().map_or(true, |object| object.written < then);
        std::future::ready(counts)
    });
    let (mut batches, mut swept) = (old.chunks(BATCH).boxed(), store.delete_abandoned(then).await?);
    while let Some(batch) = batches.next().await {
        let batch: Vec<Stored> = batch.into_iter().collect::<Result<_, _>>()?;
        let runs: HashSet<RunId> = batch.iter().filter_map(|object| object.run).collect();
        let runs: Vec<RunId> = runs.into_iter().collect();
        let asked = &runs;
        let referenced = db.read(|mut conn| async move { referenced(&mut conn, asked).await }).await?;
        // Objects outside the folders of runs do not belong to capi.
        for object in batch.iter().filter(|object| object.run.is_some()) {
            if !referenced.contains(&object.key.to_string()) {
                delete(store, &object.key).await?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

async fn delete(store: &Artifacts, key: &ObjectKey) -> Result<(), StorageError> {
    tracing::debug!(%key, "deleting an unreferenced object");
    metrics::counter!("capi_store_objects_deleted_total").increment(1);
    store.delete(key).await
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    key: String,
}

/// Returns the keys that are referenced in these runs.
async fn referenced(conn: &mut Connection, runs: &[RunId]) -> Result<HashSet<String>, DbError> {
    let sql = "
        SELECT 'runs/' || run_id || '/artifacts/' || id AS key FROM artifacts WHERE run_id = ANY ($1)
        UNION ALL SELECT 'runs/' || run_id || '/files/' || id FROM run_files WHERE run_id = ANY ($1)
        UNION ALL (
            SELECT DISTINCT ON (e.run_id) e.data #>> '{workspace,key}'
            FROM run_events e JOIN runs r ON r.id = e.run_id
            WHERE e.run_id = ANY ($1) AND r.status = 'running' AND e.data ? 'workspace'
            ORDER BY e.run_id, e.seq DESC)";
    let rows: Vec<Row> = statement(sql).bind::<Array<SqlUuid>, _>(runs).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
