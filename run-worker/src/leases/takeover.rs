//! The reaper: takes over runs whose lease expired or was given back, without a nudge. It uses the permits
//! that are free and the one that the consumer holds. After an outage that was long enough for a renewal to
//! be missed it takes nothing over for one lease time, because the other workers could not renew either. It
//! does the same after a jump of the database's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config::LeaseConfig;
use shared::db::DbError;
use shared::runs::Fence;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::LeaseContext;
use super::clock::LeaseClock;
use super::in_doubt::give_back_later;
use super::isolation::{is_last_chance, isolation, probation};
use super::store::{Claimed, take_over};

const INTERVAL: Duration = Duration::from_secs(5);
/// Between pings of a database that is down.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);

/// Starts a run that was taken over by a statement sent at the given time.
type Start = Box<dyn Fn(Claimed, Instant, OwnedSemaphorePermit) + Send + Sync>;

pub struct Reaper {
    context: Arc<LeaseContext>,
    start: Start,
    schedule: Mutex<Schedule>,
    clock: LeaseClock,
}

/// When the next poll is due.
struct Schedule {
    /// Set by a failed call, cleared by an answered ping.
    down_since: Option<Instant>,
    /// Set after a long outage and after a jump of the clock: no poll before this time.
    not_before: Instant,
    /// The next poll without a request.
    next: Instant,
    /// The number of requests that the last poll served.
    served: u64,
}

impl Schedule {
    fn first(now: Instant) -> Self {
        Self { down_since: None, not_before: now, next: now, served: 0 }
    }

    /// Whether a poll is due. One poll serves all: the consumer and the reaper's task need not repeat it.
    fn begin(&mut self, now: Instant, requests: u64, interval: Duration) -> bool {
        let wanted = requests > self.served || now >= self.next;
        let due = wanted && self.down_since.is_none() && now >= self.not_before;
        if due {
            (self.next, self.served) = (now + interval / 2, requests);
        }
        due
    }

    fn down(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
    }

    /// A short outage changes nothing: one slow answer does not mean that other workers missed a renewal.
    fn up(&mut self, now: Instant, lease: LeaseConfig) {
        if self.down_since.take().is_some_and(|since| now - since >= lease.heartbeat()) {
            self.wait(now, lease);
        }
    }

    /// All living workers renew their leases meanwhile.
    fn wait(&mut self, now: Instant, lease: LeaseConfig) {
        self.not_before = now + lease.lease();
    }
}

impl Reaper {
    /// `start` starts each run that was taken over. It must not block.
    #[must_use]
    pub fn new(
        context: Arc<LeaseContext>,
        start: impl Fn(Claimed, Instant, OwnedSemaphorePermit) + Send + Sync + 'static,
    ) -> Self {
        let schedule = Mutex::new(Schedule::first(Instant::now()));
        let clock = LeaseClock::new(context.config);
        Self { context, start: Box::new(start), schedule, clock }
    }

    /// How often to poll without a request.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        INTERVAL.min(self.context.config.heartbeat())
    }

    /// During an outage the pause is short: the length of the outage is compared with a heartbeat.
    fn pause(&self) -> Duration {
        let down = self.lock().down_since.is_some();
        if down { OUTAGE_INTERVAL.min(self.context.config.heartbeat() / 4) } else { self.poll_interval() }
    }

    /// A counter that changes with each request.
    #[must_use]
    pub fn poll_requests(&self) -> watch::Receiver<u64> {
        self.context.poll_requests.subscribe()
    }

    /// Pings the database and polls with the free permits, until the process stops.
    pub async fn run(&self, permits: &Arc<Semaphore>) {
        let mut requests = self.poll_requests();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                Ok(()) = requests.changed() => {}
                () = self.context.lifecycle.stopping().cancelled() => return,
            }
            match self.context.lease_db.ping().await {
                Ok(()) => self.lock().up(Instant::now(), self.context.config),
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

    /// Takes over at most as many runs as there are permits and returns the unused permits. The permits come
    /// first: a run that was taken over must not wait for one while its lease passes. An isolated run keeps
    /// all permits.
    pub async fn poll(&self, permits: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let permits = self.context.isolation.keep(permits)?;
        let requests = *self.context.poll_requests.borrow();
        let due = self.lock().begin(Instant::now(), requests, self.poll_interval());
        if !due || self.context.lifecycle.stopping().is_cancelled() {
            return Some(permits);
        }
        let unused = match self.take_expired(permits).await {
            Ok(unused) => unused,
            Err((error, unused)) => {
                tracing::warn!(%error, "failed to take over expired leases");
                self.note(&error);
                unused
            }
        };
        self.context.isolation.keep(unused)
    }

    async fn take_expired(
        &self,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<OwnedSemaphorePermit, (DbError, OwnedSemaphorePermit)> {
        let limit = i64::try_from(permits.num_permits()).unwrap_or(i64::MAX);
        let by = &self.context.claimant;
        let alone = self.context.isolation.take_over().await;
        // Another poller may have isolated a run meanwhile.
        if self.context.isolation.is_on() {
            return Ok(permits);
        }
        // Immediately before the takeover: the clock may have jumped since the last one.
        match self.clock.judge(&self.context.lease_db).await {
            Ok(false) => {}
            Ok(true) => {
                self.lock().wait(Instant::now(), self.context.config);
                return Ok(permits);
            }
            Err(error) => return Err((error, permits)),
        }
        let (sent, claim) = (Instant::now(), Uuid::now_v7());
        let taking =
            self.context.db.write(|mut conn| async move { take_over(&mut conn, by, claim, limit).await });
        let taken = match taking.await {
            Ok(taken) => taken,
            Err(error) => {
                give_back_later(&self.context, claim, &error);
                return Err((error, permits));
            }
        };
        if let Some(last) = taken.iter().find(|run| is_last_chance(run.losses)) {
            self.context.isolation.begin(last.fence());
            // The consumer then gives its permit to the isolated run.
            self.context.request_poll();
            self.clear_after(isolation(by.lease, last.attempt), last.fence());
        } else if let Some(suspect) = taken.iter().find(|run| run.losses > 0) {
            self.clear_after(probation(by.lease), suspect.fence());
        } else if i64::try_from(taken.len()).is_ok_and(|found| found == limit) {
            // There may be more expired leases, for pollers that have permits left.
            self.context.request_poll();
        }
        drop(alone);
        for claimed in taken {
            let Some(permit) = permits.split(1) else { break };
            tracing::info!(
                run_id = %claimed.id, attempt = claimed.attempt, losses = claimed.losses,
                user_id = %claimed.user_id, request_id = claimed.request_id, "took the run over"
            );
            metrics::counter!("capi_leases_taken_over_total").increment(1);
            (self.start)(claimed, sent, permit);
        }
        Ok(permits)
    }

    fn clear_after(&self, time: Duration, suspect: Fence) {
        let context = Arc::clone(&self.context);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            context.cleared(suspect);
        });
    }

    /// A busy pool is no outage: the other workers continue to renew.
    fn note(&self, error: &DbError) {
        if error.is_outage() && !error.is_busy() {
            self.lock().down(Instant::now());
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
    fn only_an_outage_longer_than_a_heartbeat_delays_polls() {
        let (lease, second) = (LeaseConfig { lease_seconds: 30 }, Duration::from_secs(1));
        let start = Instant::now();
        let mut schedule = Schedule::first(start);
        assert!(schedule.begin(start, 0, INTERVAL));
        assert!(!schedule.begin(start + second, 0, INTERVAL), "a poll has just begun");
        assert!(schedule.begin(start + second, 1, INTERVAL), "but there is a request");

        schedule.down(start + second * 10);
        assert!(!schedule.begin(start + second * 11, 2, INTERVAL), "the database is down");
        schedule.up(start + second * 12, lease);
        assert!(schedule.begin(start + second * 12, 2, INTERVAL), "a short outage changes nothing");

        schedule.down(start + second * 20);
        schedule.down(start + second * 29);
        schedule.up(start + second * 30, lease);
        assert!(!schedule.begin(start + second * 59, 3, INTERVAL), "other workers missed a renewal");
        assert!(schedule.begin(start + second * 60, 3, INTERVAL));
    }
}
