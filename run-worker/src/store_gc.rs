//! Sweeps the store: files of creates that came to nothing, snapshots of attempts that died. What neither an artifact, nor a file of a run,
//! nor the last word of a running run names, goes after a day. Workers may sweep at the same time: deleting twice is deleting.

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

/// How long what nobody names is kept: longer than any request, tool or step.
const KEPT: TimeDelta = TimeDelta::days(1);
const EVERY: Duration = Duration::from_hours(1);
/// Objects that are judged together.
const BATCH: usize = 500;

/// Why a sweep ended early; the next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Until the process stops; the first sweep comes some time within the first hour, so that workers that start together do not sweep together.
pub(crate) async fn sweep(context: Arc<Context>) {
    let mut pause = EVERY.mul_f64(rand::random());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        let sweeping = sweep_older(&context.db, &context.artifacts, Utc::now() - KEPT);
        let swept = tokio::select! {
            swept = sweeping => swept,
            () = context.lifecycle.stopping().cancelled() => return,
        };
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "objects that nothing names were deleted"),
            Err(error) => tracing::warn!(%error, "the store was not swept"),
        }
        pause = EVERY;
    }
}

/// Deletes what was written before `then` and is named by nothing; how many objects.
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
        let named = db.read(|mut conn| async move { named(&mut conn, asked).await }).await?;
        // What is under no run's name is not ours.
        for object in batch.iter().filter(|object| object.run.is_some()) {
            if !named.contains(&object.key.to_string()) {
                delete(store, &object.key).await?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

async fn delete(store: &Artifacts, key: &ObjectKey) -> Result<(), StorageError> {
    tracing::debug!(%key, "an object that nothing names is deleted");
    metrics::counter!("capi_objects_swept_total").increment(1);
    store.delete(key).await
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    key: String,
}

/// The keys of these runs that are in use.
async fn named(conn: &mut Connection, runs: &[RunId]) -> Result<HashSet<String>, DbError> {
    let sql = "
        SELECT 'runs/' || run_id || '/artifacts/' || id AS key FROM artifacts WHERE run_id = ANY ($1)
        UNION ALL SELECT 'runs/' || run_id || '/files/' || id FROM run_files WHERE run_id = ANY ($1)
        UNION ALL (
            SELECT DISTINCT ON (e.run_id) e.data #>> '{workspace,key}' FROM run_events e JOIN runs r ON r.id = e.run_id
            WHERE e.run_id = ANY ($1) AND r.status = 'running' AND e.data ? 'workspace' ORDER BY e.run_id, e.seq DESC)";
    let rows: Vec<Row> = statement(sql).bind::<Array<SqlUuid>, _>(runs).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
