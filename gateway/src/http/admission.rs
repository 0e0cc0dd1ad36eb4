//! Admits requests. Those that arrive while a statement is in flight are admitted together, by the next one.
//!
//! The guards in front of the database learn each outcome here, and not from the request: a client that
//! disconnects after its statement began is counted too.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_domain::accounts::KeyHash;
use gateway_domain::accounts::rate_limit::{Admission, admit};
use serde_json::Value;
use shared::batch::SetCall;
use shared::db::{Db, DbError};

use super::limits::{FloodGuard, Refusals};

/// Requests that wait for their set. More are answered 503.
pub const WAITING_REQUESTS: usize = 4096;
/// How long a set waits for a window that another set has locked. Usually this is short: another gateway
/// admits requests of the same account.
const SHORT_WAIT: Duration = Duration::from_millis(40);
/// How long a request that is admitted alone waits for its window. Its client waits as long.
const LONG_WAIT: Duration = Duration::from_millis(800);
/// How long a set waits for its answer. Sets go one at a time, so a dead connection must not hold them up.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A request that passed the guards.
pub struct Knock {
    pub key: KeyHash,
    pub address: IpAddr,
}

pub struct Admitting {
    /// With [`PATIENCE`].
    pub db: Db,
    /// [`shared::config::Plans::rates`].
    pub rates: Value,
    pub flood: Arc<FloodGuard>,
    pub refusals: Arc<Refusals>,
}

impl SetCall for Admitting {
    type Item = Knock;
    type Answer = Admission;

    async fn together(&self, knocks: &[Knock]) -> Result<Vec<Option<Admission>>, DbError> {
        let all: Vec<_> = knocks.iter().collect();
        let mut outcomes = self.admit(&all, Duration::ZERO).await?;
        let locked: Vec<_> = (0..all.len()).filter(|at| outcomes[*at].is_none()).collect();
        let asked_again: Vec<_> = locked.iter().map(|at| all[*at]).collect();
        // If this fails too, they are admitted alone.
        if !locked.is_empty()
            && let Ok(later) = self.admit(&asked_again, SHORT_WAIT).await
        {
            for (at, outcome) in locked.into_iter().zip(later) {
                outcomes[at] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn alone(&self, knock: &Knock) -> Result<Admission, DbError> {
        // Only a call that waits for no lock leaves a request out.
        self.admit(&[knock], LONG_WAIT).await?.pop().flatten().ok_or(DbError::Timeout)
    }

    /// The key stands for its account's window.
    fn row(&self, knock: &Knock) -> Option<u128> {
        knock.key.first_chunk().map(|half| u128::from_le_bytes(*half))
    }
}

impl Admitting {
    /// Asks the database and records its answers in the guards.
    async fn admit(&self, knocks: &[&Knock], wait: Duration) -> Result<Vec<Option<Admission>>, DbError> {
        let keys: Vec<_> = knocks.iter().map(|knock| knock.key).collect();
        let outcomes = admit(&self.db, &keys, &self.rates, wait).await?;
        let now = Instant::now();
        for (knock, outcome) in knocks.iter().zip(&outcomes) {
            match outcome {
                None => {}
                Some(Admission::Unknown) => self.flood.failed(knock.address, now),
                Some(Admission::Refused(window)) => {
                    self.flood.succeeded(&knock.key);
                    self.refusals.record(&knock.key, *window, now);
                }
                Some(Admission::NoPlan(_) | Admission::Admitted { .. }) => self.flood.succeeded(&knock.key),
            }
        }
        Ok(outcomes)
    }
}
