//! Takes over runs whose worker went silent or gave them back, past the queue: with the permits that are free, and
//! with those that consumer slots hold. In the first lease time after it lost and regained the database it
//! takes nothing: the others had no way to renew either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::db::DbError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::claim::take_over;
use crate::context::Context;
use crate::execute::spawn;

const INTERVAL: Duration = Duration::from_secs(5);

/// One process's look-out for runs that nobody works on.
pub struct Reaper {
    context: Arc<Context>,
    /// The database was away: nothing is looked for before.
    not_before: Mutex<Instant>,
    /// A look found nothing more just now: the next one comes then, unless there is news.
    next: Mutex<Instant>,
    news: Notify,
}

impl Reaper {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        let now = Instant::now();
        Self { context, not_before: Mutex::new(now), next: Mutex::new(now), news: Notify::new() }
    }

    /// How often there is a look.
    #[must_use]
    pub fn interval(&self) -> Duration {
        INTERVAL.min(self.context.lease.heartbeat())
    }

    /// A lease may be free: whoever waits for a look has one now.
    pub fn look_soon(&self) {
        *lock(&self.next) = Instant::now();
        self.news.notify_waiters();
    }

    /// Returns once there is news.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Until the process stops: watches the database, and looks with the permits that nobody holds.
    pub async fn reap(&self, permits: &Arc<Semaphore>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval()) => {}
                () = self.news() => {}
                () = self.context.lifecycle.stopping().cancelled() => return,
            }
            if let Err(error) = self.context.db.ping().await {
                self.note(&error);
            }
            let free = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
            if free > 0
                && let Ok(reserved) = Arc::clone(permits).try_acquire_many_owned(free)
            {
                drop(self.look(reserved).await);
            }
        }
    }

    /// Takes over at most as many runs as permits are given; gives back those that were not needed. Permits come
    /// before the claim: a run that is taken over must not wait for one under its lease.
    pub async fn look(&self, permits: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
        let now = Instant::now();
        if now < *lock(&self.not_before)
            || now < *lock(&self.next)
            || self.context.lifecycle.stopping().is_cancelled()
        {
            return permits;
        }
        match self.take_expired(permits).await {
            Ok(unused) => unused,
            Err((error, unused)) => {
                tracing::warn!(%error, "expired leases are not looked for");
                self.note(&error);
                unused
            }
        }
    }

    async fn take_expired(
        &self,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<OwnedSemaphorePermit, (DbError, OwnedSemaphorePermit)> {
        let (context, most) = (&self.context, i64::try_from(permits.num_permits()).unwrap_or(i64::MAX));
        let sent = Instant::now();
        let by = &context.claimant;
        let taking = context.db.write(|mut conn| async move { take_over(&mut conn, by, most).await });
        let taken = match taking.await {
            Ok(taken) => taken,
            Err(error) => return Err((error, permits)),
        };
        if i64::try_from(taken.len()).is_ok_and(|found| found < most) {
            // The slots and the reaper's own task need not all ask the same within one interval.
            *lock(&self.next) = Instant::now() + self.interval() / 2;
        }
        for claimed in taken {
            let Some(permit) = permits.split(1) else { break };
            tracing::info!(run_id = %claimed.id, attempt = claimed.attempt, losses = claimed.losses, "run taken over");
            metrics::counter!("capi_runs_taken_over_total").increment(1);
            spawn(context, claimed, sent, permit);
        }
        Ok(permits)
    }

    /// Of a busy process the others know nothing: they go on renewing.
    fn note(&self, error: &DbError) {
        if error.is_outage() && !error.is_busy() {
            *lock(&self.not_before) = Instant::now() + self.context.lease.lease();
        }
    }
}

fn lock(at: &Mutex<Instant>) -> std::sync::MutexGuard<'_, Instant> {
    at.lock().unwrap_or_else(PoisonError::into_inner)
}
