//! Takes over runs whose worker went silent or gave them back, past the queue: with the permits that are free, and
//! with those that consumer slots hold. In the first lease time after it lost and regained the database it
//! takes nothing: the others had no way to renew either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::db::DbError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::claim::take_over;
use crate::context::Context;
use crate::execute::spawn;

const INTERVAL: Duration = Duration::from_secs(5);

/// One process's look-out for runs that nobody works on.
pub struct Reaper {
    context: Arc<Context>,
    looks: Mutex<Looks>,
    /// Counts the news of free leases. Whoever may look has a receiver of his own.
    news: watch::Sender<u64>,
}

/// When the next look is due.
struct Looks {
    /// The database was away: nothing is looked for before.
    not_before: Instant,
    /// A look began just now: the next one comes then, unless there is news.
    next: Instant,
    /// The news that a look has seen to.
    seen: u64,
}

impl Reaper {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        let looks = Looks { not_before: Instant::now(), next: Instant::now(), seen: 0 };
        Self { context, looks: Mutex::new(looks), news: watch::Sender::new(0) }
    }

    /// How often there is a look.
    #[must_use]
    pub fn interval(&self) -> Duration {
        INTERVAL.min(self.context.lease.heartbeat())
    }

    /// A lease may be free: there is a look at once.
    pub fn look_soon(&self) {
        self.news.send_modify(|number| *number += 1);
    }

    /// Changes with each piece of news.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Until the process stops: watches the database, and looks with the permits that nobody holds.
    pub async fn reap(&self, permits: &Arc<Semaphore>) {
        let mut news = self.news();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval()) => {}
                Ok(()) = news.changed() => {}
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
        if self.context.lifecycle.stopping().is_cancelled() || !self.begin_look() {
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
        if i64::try_from(taken.len()).is_ok_and(|found| found == most) {
            // There may be more, for whoever has a permit left.
            self.look_soon();
        }
        for claimed in taken {
            let Some(permit) = permits.split(1) else { break };
            tracing::info!(run_id = %claimed.id, attempt = claimed.attempt, losses = claimed.losses, "run taken over");
            metrics::counter!("capi_runs_taken_over_total").increment(1);
            spawn(context, claimed, sent, permit);
        }
        Ok(permits)
    }

    /// Whether a look is due. One that begins speaks for all: the slots and the reaper's own task need not ask the same.
    fn begin_look(&self) -> bool {
        let (now, news) = (Instant::now(), *self.news.borrow());
        let mut looks = self.lock();
        if now < looks.not_before || (now < looks.next && news <= looks.seen) {
            return false;
        }
        (looks.next, looks.seen) = (now + self.interval() / 2, news);
        true
    }

    /// Of a busy process the others know nothing: they go on renewing.
    fn note(&self, error: &DbError) {
        if error.is_outage() && !error.is_busy() {
            self.lock().not_before = Instant::now() + self.context.lease.lease();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
