//! Writes in doubt: their callers gave up, but PostgreSQL has not answered and may still commit. While
//! commits hang (a synchronous standby is away) each of them occupies a server process, which no timeout of
//! PostgreSQL ends. So the connection of such a write keeps its place in the pool until the server has
//! answered or closed it. While several of them are overdue, all further writes fail at once, and one probe
//! at a time commits on a new connection. When a commit is answered that was sent after them, they wait for a
//! lock, or their connections are dead. So they are no longer overdue, and writes are sent again.
//!
//! A write in doubt is not cancelled. PostgreSQL would keep it without its standby and show it to others, and
//! a failover would lose what a client has seen.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::DbError;
use super::connection::discard;

/// With this many overdue writes, and no answered commit since, the database does not commit. One alone may
/// be slow for another reason.
const MOST_OVERDUE: usize = 3;
/// How often to check whether an unanswered write is overdue, and whether its connection gives up.
const CHECK: Duration = Duration::from_millis(250);
/// TCP reports a dead connection earlier. A proxy may keep one open whose server is gone.
const GIVE_UP: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// After this time another probe is sent beside one that is not answered: its connection may be dead too.
const PROBE_AGAIN: Duration = Duration::from_mins(1);

/// The writes in doubt of one pool.
pub(super) struct InDoubt {
    pool: &'static str,
    /// The connections live on it.
    runtime: Handle,
    waiting: AtomicUsize,
    overdue: AtomicUsize,
    probing: AtomicBool,
    giving_up: Mutex<GivingUp>,
}

impl InDoubt {
    /// `pool` is the name in metrics.
    pub(super) fn new(pool: &'static str) -> Arc<Self> {
        Arc::new(Self {
            pool,
            runtime: Handle::current(),
            waiting: AtomicUsize::new(0),
            overdue: AtomicUsize::new(0),
            probing: AtomicBool::new(false),
            giving_up: Mutex::new(GivingUp::new()),
        })
    }

    /// Whether the database does not answer writes.
    pub(super) fn is_refusing(&self) -> bool {
        self.overdue.load(Ordering::Relaxed) >= MOST_OVERDUE
    }

    /// Counts a refused write.
    pub(super) fn refuse(&self) -> DbError {
        metrics::counter!("capi_database_writes_refused_total", "pool" => self.pool).increment(1);
        DbError::NotAnswering
    }

    /// The place of the only probe, if it is free.
    pub(super) fn probe(self: &Arc<Self>) -> Option<Probe> {
        (!self.probing.swap(true, Ordering::Relaxed)).then(|| Probe(Arc::clone(self)))
    }

    /// A write that is sent now and is overdue after `patience`.
    pub(super) fn sent(self: &Arc<Self>, patience: Duration, probe: Option<Probe>) -> Sent {
        Sent { all: Arc::clone(self), at: Instant::now(), patience, probe }
    }

    /// The connections live on it.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether connections are taken by writes in doubt.
    pub(super) fn is_any(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A commit that was sent at this time was answered.
    pub(super) fn committed(&self, sent: Instant) {
        self.giving_up().committed(sent);
    }

    fn giving_up(&self) -> MutexGuard<'_, GivingUp> {
        self.giving_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(self: Arc<Self>, mut connection: Kept, write: Sent) {
        let Sent { at: sent, patience, mut probe, .. } = write;
        let mut counted = Counted::new(&self);
        let mut checks = tokio::time::interval(CHECK);
        let mut answer = pin!(connection.answer());
        loop {
            tokio::select! {
                () = &mut answer => return,
                _ = checks.tick() => {}
            }
            let now = Instant::now();
            let waited = now.duration_since(sent);
            counted.set_overdue(waited >= patience && !self.giving_up().has_committed_since(sent));
            if waited >= PROBE_AGAIN {
                drop(probe.take());
            }
            if self.giving_up().is_due(sent, now) {
                let seconds = waited.as_secs();
                tracing::warn!(
                    pool = self.pool,
                    seconds,
                    "closing a connection that does not answer a write"
                );
                return;
            }
        }
    }
}

/// A write that was sent.
pub(super) struct Sent {
    all: Arc<InDoubt>,
    at: Instant,
    patience: Duration,
    /// If it is the probe.
    probe: Option<Probe>,
}

/// Dropping it lets the next probe through.
pub(super) struct Probe(Arc<InDoubt>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.probing.store(false, Ordering::Relaxed);
    }
}

impl Sent {
    /// Keeps the connection in its place until the server has answered. Then closes it: it may be inside a
    /// transaction.
    pub(super) fn wait_for_answer(self, connection: Object<AsyncPgConnection>) {
        let (all, runtime) = (Arc::clone(&self.all), self.all.runtime.clone());
        runtime.spawn(all.wait(Kept(Some(connection)), self));
    }
}

/// Dropping it closes the connection.
struct Kept(Option<Object<AsyncPgConnection>>);

impl Kept {
    /// Ends when the server has answered everything that was sent before, or closed the connection.
    async fn answer(&mut self) {
        if let Some(connection) = &mut self.0 {
            let connection: &mut AsyncPgConnection = connection;
            // An error is an answer too.
            let _ = connection.batch_execute("SELECT 1").await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            discard(connection);
        }
    }
}

/// Counts one write in doubt.
struct Counted {
    all: Arc<InDoubt>,
    overdue: bool,
}

impl Counted {
    fn new(all: &Arc<InDoubt>) -> Self {
        all.waiting.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("capi_database_writes_in_doubt", "pool" => all.pool).increment(1.0);
        Self { all: Arc::clone(all), overdue: false }
    }

    fn set_overdue(&mut self, overdue: bool) {
        let before = std::mem::replace(&mut self.overdue, overdue);
        if before == overdue {
            return;
        }
        if !overdue {
            if self.all.overdue.fetch_sub(1, Ordering::Relaxed) == MOST_OVERDUE {
                tracing::info!(pool = self.all.pool, "sending writes to the database again");
            }
        } else if self.all.overdue.fetch_add(1, Ordering::Relaxed) + 1 == MOST_OVERDUE {
            tracing::error!(
                pool = self.all.pool,
                "the database does not answer writes; further ones fail until it does"
            );
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("capi_database_writes_in_doubt", "pool" => self.all.pool).decrement(1.0);
        self.set_overdue(false);
        if self.all.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.giving_up().end();
        }
    }
}

/// Decides when a connection that does not answer gives up its place. The connection that replaces it may
/// hang too and occupy one more process of the server. So one at a time gives up, after pauses that double,
/// unless a later commit was answered: then it is dead.
struct GivingUp {
    /// When the last answered commit was sent.
    committed: Option<Instant>,
    /// When the next connection may give up. `None`: as soon as its write is old enough.
    next: Option<Instant>,
    pause: Duration,
}

impl GivingUp {
    const fn new() -> Self {
        Self { committed: None, next: None, pause: GIVE_UP }
    }

    fn committed(&mut self, sent: Instant) {
        *self = Self { committed: self.committed.max(Some(sent)), ..Self::new() };
    }

    /// Whether a commit was answered that was sent after this time.
    fn has_committed_since(&self, sent: Instant) -> bool {
        self.committed.is_some_and(|later| later > sent)
    }

    /// All writes in doubt are over.
    fn end(&mut self) {
        *self = Self { committed: self.committed, ..Self::new() };
    }

    /// Whether a write that was sent at this time gives up now.
    fn is_due(&mut self, sent: Instant, now: Instant) -> bool {
        if now.duration_since(sent) < GIVE_UP {
            return false;
        }
        if self.committed.is_some_and(|later| later.duration_since(sent) >= GIVE_UP) {
            return true;
        }
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests;
