//! Connections that are open for the next request to the same origin. Their address was checked when they
//! were opened, so an answer never comes from another one. A name is resolved and checked again when its
//! connection gets old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Open;

/// Shorter than the time after which servers commonly close an idle connection (5 s).
const IDLE: Duration = Duration::from_secs(2);
const AGE: Duration = Duration::from_secs(30);
/// Each holds a read buffer.
const MOST: usize = 256;
/// Of one origin, so that a busy one leaves places for others.
const MOST_EACH: usize = 32;
/// How long no connection to an origin is kept after one did not answer a further request.
const DISTRUST: Duration = Duration::from_mins(10);
/// The most distrusted origins. If there are more, those whose time is over are forgotten, or all.
const MOST_DISTRUSTED: usize = 1000;

/// Scheme, host and port of a URL.
pub(crate) type Origin = String;

#[derive(Default)]
pub(crate) struct Kept(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The last one was used last. No list is empty.
    idle: HashMap<Origin, Vec<Idle>>,
    count: usize,
    distrusted: HashMap<Origin, Instant>,
    is_swept: bool,
}

struct Idle {
    open: Open,
    since: Instant,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now < self.since + IDLE && now < self.open.opened + AGE && !self.open.is_closed()
    }
}

impl Kept {
    /// Takes an idle connection that the server has not closed.
    pub(crate) fn take(&self, origin: &str) -> Option<Open> {
        let mut inner = self.lock();
        let idle = inner.idle.get_mut(origin)?;
        let (before, now) = (idle.len(), Instant::now());
        let mut found = None;
        while let Some(last) = idle.pop() {
            if last.is_usable(now) {
                found = Some(last.open);
                break;
            }
        }
        let (after, is_empty) = (idle.len(), idle.is_empty());
        if is_empty {
            inner.idle.remove(origin);
        }
        inner.count -= before - after;
        found
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn put(self: &Arc<Self>, origin: Origin, open: Open) {
        let mut inner = self.lock();
        let now = Instant::now();
        let is_distrusted = inner.distrusted.get(&origin).is_some_and(|since| now < *since + DISTRUST);
        if is_distrusted || inner.count >= MOST || now >= open.opened + AGE {
            return;
        }
        let idle = inner.idle.entry(origin).or_default();
        if idle.len() >= MOST_EACH {
            return;
        }
        idle.push(Idle { open, since: now });
        inner.count += 1;
        if !std::mem::replace(&mut inner.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Keeps no connection to this origin for a while. Some servers answer only the first request of one.
    pub(crate) fn distrust(&self, origin: Origin) {
        let mut inner = self.lock();
        let now = Instant::now();
        if inner.distrusted.len() >= MOST_DISTRUSTED {
            inner.distrusted.retain(|_, since| now < *since + DISTRUST);
            if inner.distrusted.len() >= MOST_DISTRUSTED {
                inner.distrusted.clear();
            }
        }
        inner.distrusted.insert(origin, now);
    }

    /// Closes connections that nothing uses, until there are none.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE).await;
            let mut inner = self.lock();
            let now = Instant::now();
            inner.idle.retain(|_, idle| {
                idle.retain(|one| now < one.since + IDLE);
                !idle.is_empty()
            });
            inner.count = inner.idle.values().map(Vec::len).sum();
            if inner.count == 0 {
                inner.is_swept = false;
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
