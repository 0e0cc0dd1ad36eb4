//! Deletes objects older than a day that nothing references (shared/src/storage/garbage.rs finds them).
//! Each worker looks. One of them at a time deletes, once an hour.
//!
//! Deleted files cannot be restored, so a sweep checks what its database says. It deletes only from the store
//! of its own installation, only what two looks an hour apart find, a bounded number in an hour, and nothing
//! if most of the store belongs to runs that the database does not know. So a database that was restored from
//! a backup, and lacks newer runs, leaves its operator the time to stop the workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::db::Db;
use shared::storage::{Artifacts, CompareError, Garbage, MIN_AGE, ObjectKey, StoreOwner, find_garbage};
use tokio::time::Instant;

use crate::context::Context;
use crate::turn::Turn;

/// The time between two passes, and so between the two looks at an object.
const INTERVAL: Duration = Duration::from_hours(1);
/// Candidates that a worker remembers: some megabytes of memory.
const MAX_CANDIDATES: usize = 10_000;
/// In `turns`.
const TASK: &str = "store_sweep";
/// The time from one pass that deletes to the next one, of any worker. Passes of one worker are an
/// hour apart, so it is a little shorter.
const DELETE_EVERY: Duration = Duration::from_mins(55);
/// Objects that all workers together delete in this time. An operator who sees the metric can stop them.
const MAX_DELETED: usize = 1000;
/// A pass is refused if more objects than this, and more than half of all, belong to unknown runs. Smaller
/// stores belong to tests and first steps. Garbage of known runs is what cancels and crashes leave.
const SUSPICIOUS_COUNT: u64 = 20;

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// So many objects were deleted.
    Deleted(u64),
    /// The store belongs to another installation.
    Foreign,
    /// Most of the store belongs to unknown runs.
    TooMuch,
    /// Another worker deletes, or deleted less than an hour ago.
    NotDue,
}

/// What one worker knows about garbage.
pub struct Sweeper {
    /// The worker's name.
    worker: String,
    /// Garbage, and when this worker first saw it.
    candidates: HashMap<ObjectKey, Instant>,
}

/// Runs until the process stops. The first pass starts at a random time within the first hour, so that
/// workers which start together do not sweep together.
pub(crate) async fn sweep(context: Arc<Context>, owner: StoreOwner) {
    let (mut pause, mut sweeper) =
        (INTERVAL.mul_f64(rand::random()), Sweeper::new(&context.leases.claimant.worker));
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.lifecycle.stopping().cancelled() => return,
        }
        let then = Utc::now() - MIN_AGE;
        let sweeping = sweeper.pass(&context.db, &context.artifacts, &owner, then, Instant::now());
        let swept = tokio::select! {
            swept = sweeping => swept,
            () = context.lifecycle.stopping().cancelled() => return,
        };
        match swept {
            Ok(Swept::Deleted(0) | Swept::Foreign | Swept::TooMuch | Swept::NotDue) => {}
            Ok(Swept::Deleted(count)) => tracing::info!(count, "deleted unreferenced objects"),
            Err(error) => tracing::warn!(%error, "failed to sweep the store"),
        }
        pause = INTERVAL;
    }
}

impl Sweeper {
    #[must_use]
    pub fn new(worker: &str) -> Self {
        Self { worker: worker.to_owned(), candidates: HashMap::new() }
    }

    /// Looks at the objects that were written before `then`, and deletes those that an earlier pass, at
    /// least an hour ago, found too.
    pub async fn pass(
        &mut self,
        db: &Db,
        store: &Artifacts,
        owner: &StoreOwner,
        then: DateTime<Utc>,
        now: Instant,
    ) -> Result<Swept, CompareError> {
        // A fresh check: the settings of a running process do not change, but a store can be replaced.
        if !owner.check().await?.is_own() {
            self.candidates.clear();
            refused("installation");
            return Ok(Swept::Foreign);
        }
        let garbage = find_garbage(db, store, then, MAX_CANDIDATES).await?;
        metrics::gauge!("capi_store_sweep_candidates").set(as_gauge(garbage.count));
        if garbage.unknown > SUSPICIOUS_COUNT && garbage.unknown > garbage.listed / 2 {
            self.candidates.clear();
            refused("share");
            tracing::error!(
                unknown = garbage.unknown,
                listed = garbage.listed,
                "refused to sweep the store: the database does not know most of its runs. Check with \
                 `gateway store sweep --dry-run`"
            );
            return Ok(Swept::TooMuch);
        }
        let due = self.remember(garbage, now);
        let worker = self.worker.clone();
        let turn = Turn { db, task: TASK, worker: &worker };
        if !turn.take(DELETE_EVERY).await?.taken {
            return Ok(Swept::NotDue);
        }
        // Listing the store may have taken long.
        if !owner.check().await?.is_own() {
            turn.release().await?;
            refused("installation");
            return Ok(Swept::Foreign);
        }
        // The hour begins before the first deletion, so that a pass that ends early counts too.
        let counts = !due.is_empty();
        if counts {
            turn.end().await?;
        }
        let deleted = self.delete(store, due, then).await?;
        match (counts, deleted) {
            (true, _) => {}
            (false, 0) => drop(turn.release().await?),
            (false, _) => drop(turn.end().await?),
        }
        Ok(Swept::Deleted(deleted))
    }

    /// Deletes these objects, and partial uploads that were begun before `then`. The latter need no second
    /// look: no row can reference them.
    async fn delete(
        &mut self,
        store: &Artifacts,
        due: Vec<ObjectKey>,
        then: DateTime<Utc>,
    ) -> Result<u64, CompareError> {
        let (mut deleted, parts) = (0, MAX_DELETED - due.len());
        for key in due {
            tracing::debug!(%key, "deleting an unreferenced object");
            store.delete(&key).await?;
            self.candidates.remove(&key);
            deleted += 1;
            metrics::counter!("capi_store_objects_deleted_total").increment(1);
        }
        Ok(deleted + store.delete_abandoned(then, parts).await?)
    }

    /// Remembers new candidates and forgets objects that are no garbage any more. Returns those that were
    /// seen an hour ago.
    fn remember(&mut self, garbage: Garbage, now: Instant) -> Vec<ObjectKey> {
        let seen = std::mem::take(&mut self.candidates);
        let since = |key: ObjectKey| {
            let first = seen.get(&key).copied().unwrap_or(now);
            (key, first)
        };
        self.candidates = garbage.objects.into_iter().map(|object| since(object.key)).collect();
        let due = self.candidates.iter().filter(|(_, first)| now.duration_since(**first) >= INTERVAL);
        due.map(|(key, _)| key.clone()).take(MAX_DELETED).collect()
    }
}

fn refused(reason: &'static str) {
    metrics::counter!("capi_store_sweeps_refused_total", "reason" => reason).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of an approximate number")]
fn as_gauge(count: u64) -> f64 {
    count as f64
}
