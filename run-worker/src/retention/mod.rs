//! Deletes runs that ended, and lines of the audit log that were written, longer ago than the
//! `retention_days` of their account's plan. One worker at a time does so, in small batches with pauses. The
//! same pass counts the stored bytes of accounts that are older than the table `account_use`.
//!
//! Each batch commits by itself, so a pass that ends early has lost nothing: the next one goes on with what
//! remains. The objects of the store are deleted after the commit. What a crash leaves between the two is
//! unreferenced, and `store_gc` deletes it.

mod pace;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::db::{Db, DbError};
use shared::ids::UserId;
use shared::storage::{Artifacts, Owner, StoreOwner};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::context::Context;
use crate::turn::{RENEW_EVERY, Turn};
use pace::Pace;
use store::{Account, Deleted};

/// In `turns`.
const TASK: &str = "retention";

/// How often a worker looks whether a pass is due.
const CHECK_EVERY: Duration = Duration::from_mins(10);
/// The time from the end of a pass to the next one.
const PASS_EVERY: Duration = Duration::from_hours(1);
/// Deleting the objects of one run takes at most this long. `store_gc` deletes the remaining ones.
const OBJECTS_TIMEOUT: Duration = Duration::from_secs(10);
/// Runs whose stored bytes one statement counts: some 10,000 index probes.
const COUNTED_RUNS: i32 = 5000;
/// Accounts that one statement looks at.
const ACCOUNTS: i64 = 200;
/// The pause between pages of accounts. Looking costs a few index probes an account.
const PAGE_PAUSE: Duration = Duration::from_millis(50);

/// What a pass works on.
pub struct Retention {
    pub db: Db,
    pub artifacts: Artifacts,
    pub owner: StoreOwner,
    /// `{plan: days}`; other plans keep everything.
    pub days: Value,
    /// The worker's name.
    pub worker: String,
    pub stopping: CancellationToken,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Another worker has the turn, or the last pass was a short time ago.
    NotDue,
    /// Everything was looked at.
    Complete {
        /// Deleted runs.
        runs: u64,
    },
    /// The process stops, or another worker took the turn.
    Interrupted,
    /// The store is not known to belong to this installation. The runs may be those of a copied database,
    /// whose files another installation needs.
    ForeignStore,
}

/// Runs until the process stops. The first check is at a random time within the interval, so that workers
/// which start together do not check together.
pub(crate) async fn run(context: Arc<Context>, owner: StoreOwner) {
    let retention = Retention {
        db: context.db.clone(),
        artifacts: context.artifacts.clone(),
        owner,
        days: context.plans.retention_days().into(),
        worker: context.leases.claimant.worker.clone(),
        stopping: context.lifecycle.stopping().clone(),
    };
    let mut pause = CHECK_EVERY.mul_f64(rand::random());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = retention.stopping.cancelled() => return,
        }
        match retention.pass(PASS_EVERY).await {
            Ok(Pass::Complete { runs: 0 } | Pass::NotDue | Pass::Interrupted | Pass::ForeignStore) => {}
            Ok(Pass::Complete { runs }) => {
                tracing::info!(runs, "deleted runs older than their plan's retention");
            }
            Err(error) => {
                metrics::counter!("capi_retention_failures_total").increment(1);
                tracing::warn!(%error, "failed to delete runs older than their plan's retention");
            }
        }
        pause = CHECK_EVERY;
    }
}

impl Retention {
    /// Deletes everything that is due, if the last complete pass is older than `every`.
    pub async fn pass(&self, every: Duration) -> Result<Pass, DbError> {
        if !self.owner.check().await.is_ok_and(Owner::is_own) {
            return Ok(Pass::ForeignStore);
        }
        let turn = self.turn().take(every).await?;
        if let Some(passed_at) = turn.passed_at {
            metrics::gauge!("capi_retention_last_pass_timestamp_seconds").set(passed_at);
        }
        if !turn.taken {
            return Ok(Pass::NotDue);
        }
        if !self.count_stored_bytes().await? {
            return Ok(Pass::Interrupted);
        }
        let (mut after, mut runs, mut oldest) = (Uuid::nil(), 0, 0.0_f64);
        loop {
            let accounts = store::accounts(&self.db, &self.days, after, ACCOUNTS).await?;
            let Some(last) = accounts.last() else { break };
            after = last.id.uuid();
            oldest = accounts.iter().filter_map(|account| account.oldest_age).fold(oldest, f64::max);
            for account in accounts.iter().filter(|account| account.is_due()) {
                match self.clean(account).await {
                    Ok(Some(deleted)) => runs += deleted,
                    Ok(None) => return Ok(Pass::Interrupted),
                    Err(error) if error.is_away() => return Err(error),
                    Err(error) => skip(account.id, &error),
                }
            }
            if !self.goes_on(PAGE_PAUSE).await? {
                return Ok(Pass::Interrupted);
            }
        }
        metrics::gauge!("capi_retention_oldest_run_age_seconds").set(oldest);
        self.turn().end().await?;
        Ok(Pass::Complete { runs })
    }

    /// Deletes what is due of one account. Returns the number of runs, or `None` if the pass must end.
    async fn clean(&self, account: &Account) -> Result<Option<u64>, DbError> {
        let mut runs = 0;
        if account.has_old_runs {
            match self.delete_runs(account).await? {
                Some(deleted) => runs = deleted,
                None => return Ok(None),
            }
        }
        let goes_on = !account.has_old_lines || self.delete_audit_lines(account).await?;
        Ok(goes_on.then_some(runs))
    }

    /// Deletes runs in batches. Returns their number, or `None` if the pass must end.
    async fn delete_runs(&self, account: &Account) -> Result<Option<u64>, DbError> {
        let (mut pace, mut runs) = (Pace::new(), 0);
        loop {
            let begun = Instant::now();
            let deleted = store::delete_runs(&self.db, &self.days, account.id, pace.runs_and_events()).await;
            let deleted = match deleted {
                Err(error) if !error.is_away() && pace.shrink() => None,
                deleted => Some(deleted?),
            };
            let took = begun.elapsed();
            if let Some(deleted) = &deleted {
                deleted.count();
                runs += deleted.runs.unsigned_abs();
                if !self.delete_objects(account.id, deleted).await? {
                    return Ok(None);
                }
            }
            if !self.goes_on(pace.pause_after(took)).await? {
                return Ok(None);
            }
            if deleted.is_some_and(|deleted| !deleted.more) {
                return Ok(Some(runs));
            }
        }
    }

    /// Deletes lines of the audit log in batches. Returns false if the pass must end.
    async fn delete_audit_lines(&self, account: &Account) -> Result<bool, DbError> {
        let mut pace = Pace::new();
        loop {
            let (begun, limit) = (Instant::now(), pace.batch());
            let lines = store::delete_audit_lines(&self.db, &self.days, account.id, limit).await?;
            metrics::counter!("capi_retention_rows_deleted_total", "kind" => "audit_line").increment(lines);
            if !self.goes_on(pace.pause_after(begun.elapsed())).await? {
                return Ok(false);
            }
            if lines < u64::from(limit.unsigned_abs()) {
                return Ok(true);
            }
        }
    }

    /// Deletes the objects of deleted runs. Returns false if the pass must end; then `store_gc` deletes the
    /// remaining ones.
    async fn delete_objects(&self, account: UserId, deleted: &Deleted) -> Result<bool, DbError> {
        let mut renewed = Instant::now();
        for run in &deleted.stored {
            if self.stopping.is_cancelled() {
                return Ok(false);
            }
            if renewed.elapsed() >= RENEW_EVERY {
                if !self.turn().keep().await? {
                    return Ok(false);
                }
                renewed = Instant::now();
            }
            let deleting = tokio::time::timeout(OBJECTS_TIMEOUT, self.artifacts.delete_all((*run).into()));
            let error = match deleting.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the store takes too long".to_owned(),
            };
            tracing::warn!(error, run_id = %run, user_id = %account, "failed to delete the files of a run");
        }
        Ok(true)
    }

    /// Counts the stored bytes of accounts with too many uncounted runs for a request. Returns false if the
    /// pass must end.
    async fn count_stored_bytes(&self) -> Result<bool, DbError> {
        let mut after = Uuid::nil();
        loop {
            let users = store::uncounted(&self.db, after, ACCOUNTS).await?;
            let Some(last) = users.last() else { return Ok(true) };
            after = last.uuid();
            for user in users {
                let (mut pace, mut complete) = (Pace::new(), false);
                while !complete {
                    let begun = Instant::now();
                    complete = match store::count_stored_bytes(&self.db, user, COUNTED_RUNS).await {
                        Err(error) if !error.is_away() => {
                            skip(user, &error);
                            true
                        }
                        counted => counted?,
                    };
                    if !self.goes_on(pace.pause_after(begun.elapsed())).await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Waits, then renews the turn. Returns false if the process stops, has lost the turn, or has lost the
    /// store to another installation.
    async fn goes_on(&self, pause: Duration) -> Result<bool, DbError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => return Ok(false),
        }
        Ok(self.owner.is_ready() && self.turn().keep().await?)
    }

    const fn turn(&self) -> Turn<'_> {
        Turn { db: &self.db, task: TASK, worker: self.worker.as_str() }
    }
}

/// The pass goes on with the next account: one account must not stop the retention of all.
fn skip(account: UserId, error: &DbError) {
    metrics::counter!("capi_retention_failures_total").increment(1);
    tracing::warn!(%error, user_id = %account, "failed to work on an account in a retention pass");
}
