//! Deletes what the plans' `retention_days` are over for: runs that ended earlier, with all that belongs to
//! them, and lines of the audit log. One worker at a time does so, in small batches with pauses.
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
use shared::storage::Artifacts;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::context::Context;
use pace::Pace;
use store::{Account, Deleted};

/// How often a worker looks whether a pass is due.
const CHECK_EVERY: Duration = Duration::from_mins(10);
/// The time from the end of a pass to the next one.
const PASS_EVERY: Duration = Duration::from_hours(1);
/// A worker that does not renew its turn for so long has died. No batch takes as long.
const TURN: Duration = Duration::from_mins(1);
/// Accounts that one statement looks at.
const ACCOUNTS: i64 = 200;
/// The pause between pages of accounts. Looking costs a few index probes an account.
const PAGE_PAUSE: Duration = Duration::from_millis(50);

/// What a pass works on.
pub struct Retention {
    pub db: Db,
    pub artifacts: Artifacts,
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
}

/// Runs until the process stops. The first check is at a random time within the interval, so that workers
/// which start together do not check together.
pub(crate) async fn run(context: Arc<Context>) {
    let retention = Retention {
        db: context.db.clone(),
        artifacts: context.artifacts.clone(),
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
            Ok(Pass::Complete { runs: 0 } | Pass::NotDue | Pass::Interrupted) => {}
            Ok(Pass::Complete { runs }) => tracing::info!(runs, "deleted runs whose retention is over"),
            Err(error) => {
                metrics::counter!("capi_retention_failures_total").increment(1);
                tracing::warn!(%error, "failed to delete what the retention is over for");
            }
        }
        pause = CHECK_EVERY;
    }
}

impl Retention {
    /// Deletes everything that is due, if the last complete pass is older than `every`.
    pub async fn pass(&self, every: Duration) -> Result<Pass, DbError> {
        let turn = store::take_turn(&self.db, &self.worker, TURN, every).await?;
        if let Some(passed_at) = turn.passed_at {
            metrics::gauge!("capi_retention_last_pass_timestamp_seconds").set(passed_at);
        }
        if !turn.taken {
            return Ok(Pass::NotDue);
        }
        let (mut after, mut runs, mut oldest) = (Uuid::nil(), 0, 0.0_f64);
        loop {
            let accounts = store::accounts(&self.db, &self.days, after, ACCOUNTS).await?;
            let Some(last) = accounts.last() else { break };
            after = last.id.uuid();
            oldest = accounts.iter().filter_map(|account| account.oldest_age).fold(oldest, f64::max);
            for account in accounts.iter().filter(|account| account.is_due()) {
                match self.clean(account).await? {
                    Some(deleted) => runs += deleted,
                    None => return Ok(Pass::Interrupted),
                }
            }
            if !self.goes_on(PAGE_PAUSE).await? {
                return Ok(Pass::Interrupted);
            }
        }
        metrics::gauge!("capi_retention_oldest_run_age_seconds").set(oldest);
        store::end_turn(&self.db, &self.worker).await?;
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
            let (begun, limit) = (Instant::now(), pace.batch());
            let deleted = store::delete_runs(&self.db, account, limit).await?;
            deleted.count();
            runs += deleted.runs.unsigned_abs();
            self.delete_objects(account.id, &deleted).await;
            if !self.goes_on(pace.pause_after(begun.elapsed())).await? {
                return Ok(None);
            }
            if deleted.runs < i64::from(limit) {
                return Ok(Some(runs));
            }
        }
    }

    /// Deletes lines of the audit log in batches. Returns false if the pass must end.
    async fn delete_audit_lines(&self, account: &Account) -> Result<bool, DbError> {
        let mut pace = Pace::new();
        loop {
            let (begun, limit) = (Instant::now(), pace.batch());
            let lines = store::delete_audit_lines(&self.db, account, limit).await?;
            metrics::counter!("capi_retention_rows_deleted_total", "kind" => "audit_line").increment(lines);
            if !self.goes_on(pace.pause_after(begun.elapsed())).await? {
                return Ok(false);
            }
            if lines < u64::from(limit.unsigned_abs()) {
                return Ok(true);
            }
        }
    }

    async fn delete_objects(&self, account: UserId, deleted: &Deleted) {
        for run in &deleted.stored {
            if let Err(error) = self.artifacts.delete_all((*run).into()).await {
                let user_id = account;
                tracing::warn!(%error, run_id = %run, %user_id, "failed to delete the files of a run");
            }
        }
    }

    /// Waits, then renews the turn. Returns false if the process stops or has lost the turn.
    async fn goes_on(&self, pause: Duration) -> Result<bool, DbError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => return Ok(false),
        }
        store::keep_turn(&self.db, &self.worker, TURN).await
    }
}
