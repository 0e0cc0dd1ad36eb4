//! Takes over runs whose worker went silent or gave them back, past the queue: with the permits that are free, and
//! with those that consumer slots hold. After an outage that was long enough for a renewal to be missed it takes nothing for a
//! lease: the others had no way to renew either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::db::DbError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::claim::take_over;
use crate::context::Context;
use crate::execute::spawn;

const INTERVAL: Duration = Duration::from_secs(5);
/// Between pings of a database that is away.
const AWAY_INTERVAL: Duration = Duration::from_millis(500);

/// One process's look-out for runs that nobody works on.
pub struct Reaper {
    context: Arc<Context>,
    schedule: Mutex<Schedule>,
    /// Counts the news of free leases. Whoever may look has a receiver of his own.
    poll_requests: watch::Sender<u64>,
}

/// When the next look is due.
struct Schedule {
    /// Since when the database is away, as far as is known. Only an answer to a ping ends that.
    away_since: Option<Instant>,
    /// It was away for long: nothing is looked for before.
    not_before: Instant,
    /// A look began just now: the next one comes then, unless there is news.
    next: Instant,
    /// The news that a look has seen to.
    seen: u64,
}

impl Schedule {
    fn first(now: Instant) -> Self {
        Self { away_since: None, not_before: now, next: now, seen: 0 }
    }

    /// Whether a look is due. One that begins speaks for all: the slots and the reaper's own task need not ask the same.
    fn begin(&mut self, now: Instant, requests: u64, interval: Duration) -> bool {
        let told = requests > self.seen || now >= self.next;
        let due = told && self.away_since.is_none() && now >= self.not_before;
        if due {
            (self.next, self.seen) = (now + interval / 2, requests);
        }
        due
    }

    fn away(&mut self, now: Instant) {
        self.away_since.get_or_insert(now);
    }

    /// One slow answer says nothing of the others' renewals.
    fn back(&mut self, now: Instant, lease: LeaseConfig) {
        if self.away_since.take().is_some_and(|since| now - since >= lease.heartbeat()) {
            self.not_before = now + lease.lease();
        }
    }
}

impl Reaper {
    /// Over the process's context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            schedule: Mutex::new(Schedule::first(Instant::now())),
            poll_requests: watch::Sender::new(0),
        }
    }

    /// How often there is a look.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        INTERVAL.min(self.context.lease.heartbeat())
    }

    /// How long an outage lasts must be known well: it is compared with a heartbeat.
    fn pause(&self) -> Duration {
        let away = self.lock().away_since.is_some();
        if away { AWAY_INTERVAL.min(self.context.lease.heartbeat() / 4) } else { self.poll_interval() }
    }

    /// A lease may be free: there is a look at once.
    pub fn request_poll(&self) {
        self.poll_requests.send_modify(|number| *number += 1);
    }

    /// Changes with each piece of news.
    #[must_use]
    pub fn poll_requests(&self) -> watch::Receiver<u64> {
        self.poll_requests.subscribe()
    }

    /// Until the process stops: watches the database, and schedule with the permits that nobody holds.
    pub async fn reap(&self, permits: &Arc<Semaphore>) {
        let mut requests = self.poll_requests();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                Ok(()) = requests.changed() => {}
                () = self.context.lifecycle.stopping().cancelled() => return,
            }
            match self.context.lease_db.ping().await {
                Ok(()) => self.lock().back(Instant::now(), self.context.lease),
                Err(error) => self.note(&error),
            }
            let free = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
            if free > 0
                && let Ok(reserved) = Arc::clone(permits).try_acquire_many_owned(free)
            {
                drop(self.poll(reserved).await);
            }
        }
    }

    /// Takes over at most as many runs as permits are given; gives back those that were not needed. Permits come
    /// before the claim: a run that is taken over must not wait for one under its lease.
    pub async fn poll(&self, permits: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
        let requests = *self.poll_requests.borrow();
        let due = self.lock().begin(Instant::now(), requests, self.poll_interval());
        if !due || self.context.lifecycle.stopping().is_cancelled() {
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
            self.request_poll();
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
            self.lock().away(Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_outage_in_which_renewals_were_missed_puts_the_schedule_off() {
        let (lease, second) = (LeaseConfig { lease_seconds: 30 }, Duration::from_secs(1));
        let start = Instant::now();
        let mut schedule = Schedule::first(start);
        assert!(schedule.begin(start, 0, INTERVAL));
        assert!(!schedule.begin(start + second, 0, INTERVAL), "one has just begun");
        assert!(schedule.begin(start + second, 1, INTERVAL), "but there is news");

        schedule.away(start + second * 10);
        assert!(
            !schedule.begin(start + second * 11, 2, INTERVAL),
            "while it is away there is nothing to look at"
        );
        schedule.back(start + second * 12, lease);
        assert!(schedule.begin(start + second * 12, 2, INTERVAL), "one ping was slow");

        schedule.away(start + second * 20);
        schedule.away(start + second * 29);
        schedule.back(start + second * 30, lease);
        assert!(!schedule.begin(start + second * 59, 3, INTERVAL), "nobody could renew for a heartbeat");
        assert!(schedule.begin(start + second * 60, 3, INTERVAL));
    }
}
