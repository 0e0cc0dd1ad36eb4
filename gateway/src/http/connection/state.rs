//! What a connection is doing, shared by its bytes and its requests. All of it runs on one server thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// How long the head of a request may take, from its first byte.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// After an answer to a request whose body was not read, the connection is read for so long, and so many
/// bytes, before it is closed. If it were closed at once, the kernel would send a reset, and the client could
/// lose the answer.
pub(in crate::http) const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: usize = 64 << 10;
/// How long a client that still sends after so many bytes may take to read its answer.
const LINGER_GRACE: Duration = Duration::from_millis(500);

/// What is expected of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its first request. The server limits the time of its head.
    First,
    /// Another request.
    Idle,
    /// The rest of a head that began.
    Head,
    /// Whatever the present request needs.
    Request,
    /// The end, after at most so many bytes.
    Linger { left: usize },
}

/// The interim answer 100, which the server gives too early: before the request's key is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continue {
    /// The client waits for none, or has got it.
    No,
    /// The client waits for one, and the server will write it.
    Announced,
    /// The server wrote it, and it was kept back.
    Held,
    /// The request's body is wanted.
    Due,
    /// The request is answered before the server wrote it.
    Unwanted,
}

#[derive(Debug)]
pub(super) struct State {
    phase: Cell<Phase>,
    deadline: Cell<Option<Instant>>,
    keep_alive: Duration,
    pub(super) ended: Cell<bool>,
    pub(super) interim: Cell<Continue>,
    waker: RefCell<Option<Waker>>,
}

impl State {
    pub(super) fn new(keep_alive: Duration) -> Self {
        Self {
            phase: Cell::new(Phase::First),
            deadline: Cell::default(),
            keep_alive,
            ended: Cell::default(),
            interim: Cell::new(Continue::No),
            waker: RefCell::default(),
        }
    }

    /// When the connection must be closed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// The bytes that may be read now. None: the connection waits for its end.
    pub(super) fn readable(&self) -> Option<usize> {
        match self.phase.get() {
            Phase::Linger { left } => Some(left).filter(|left| *left > 0),
            _ => Some(usize::MAX),
        }
    }

    /// Counts bytes that were read.
    pub(super) fn received(&self, bytes: usize, now: Instant) {
        match self.phase.get() {
            Phase::Idle => self.enter(Phase::Head, Some(now + HEAD_TIMEOUT)),
            Phase::Linger { left } => {
                let left = left.saturating_sub(bytes);
                self.phase.set(Phase::Linger { left });
                if left == 0 {
                    let grace = now + LINGER_GRACE;
                    self.deadline.set(Some(self.deadline.get().map_or(grace, |end| end.min(grace))));
                }
            }
            Phase::First | Phase::Head | Phase::Request => {}
        }
    }

    /// The server writes the interim answer. Returns whether it is kept back.
    pub(super) fn hold_interim(&self) -> bool {
        let (held, next) = match self.interim.get() {
            Continue::Announced => (true, Continue::Held),
            Continue::Unwanted => (true, Continue::No),
            other => (false, other),
        };
        self.interim.set(next);
        held
    }

    /// Keeps the waker of the task that reads.
    pub(super) fn keep(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if kept.as_ref().is_none_or(|kept| !kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn enter(&self, phase: Phase, deadline: Option<Instant>) {
        self.phase.set(phase);
        self.deadline.set(deadline);
    }
}

/// The connection, as its requests see it.
#[derive(Debug, Clone)]
pub struct Client(pub(super) Rc<State>);

impl Client {
    /// The time that the connection may be idle.
    #[must_use]
    pub fn keep_alive(&self) -> Duration {
        self.0.keep_alive
    }

    /// Whether the client closed the connection, or its half of it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.ended.get()
    }

    /// The client waits for the interim answer 100.
    pub(in crate::http) fn expects_continue(&self) {
        self.0.interim.set(Continue::Announced);
    }

    /// The body of the request is wanted.
    pub(super) fn wants_body(&self) {
        match self.0.interim.get() {
            Continue::Held => self.0.interim.set(Continue::Due),
            Continue::Announced => self.0.interim.set(Continue::No),
            Continue::No | Continue::Due | Continue::Unwanted => {}
        }
    }

    /// A request began.
    pub(super) fn begin(&self) {
        self.0.enter(Phase::Request, None);
    }

    /// The request is answered. `complete`: its body was received.
    pub(super) fn answered(&self, complete: bool) {
        let unwritten = self.0.interim.get() == Continue::Announced;
        self.0.interim.set(if unwritten { Continue::Unwanted } else { Continue::No });
        let now = Instant::now();
        if complete {
            self.0.enter(Phase::Idle, Some(now + self.0.keep_alive));
            return;
        }
        self.0.enter(Phase::Linger { left: LINGER_BYTES }, Some(now + LINGER));
        // The connection looks at its deadline when it is read.
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client(Rc::new(State::new(Duration::from_secs(75))))
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_and_slow_heads_have_deadlines() {
        let (client, now) = (client(), Instant::now());
        assert_eq!(client.0.deadline(), None, "the server limits the first head");
        client.begin();
        client.0.received(10, now);
        assert_eq!(client.0.deadline(), None, "a request may take its time");
        client.answered(true);
        assert_eq!(client.0.deadline(), Some(now + Duration::from_secs(75)));
        client.0.received(1, now);
        client.0.received(1, now + HEAD_TIMEOUT / 2);
        assert_eq!(client.0.deadline(), Some(now + HEAD_TIMEOUT), "from the first byte");
        client.begin();
        assert_eq!(client.0.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_early_answer_little_is_read() {
        let (client, now) = (client(), Instant::now());
        client.begin();
        assert_eq!(client.0.readable(), Some(usize::MAX));
        client.answered(false);
        assert_eq!(client.0.deadline(), Some(now + LINGER));
        assert_eq!(client.0.readable(), Some(LINGER_BYTES));
        client.0.received(LINGER_BYTES - 1, now);
        assert_eq!((client.0.readable(), client.0.deadline()), (Some(1), Some(now + LINGER)));
        client.0.received(1, now);
        assert_eq!((client.0.readable(), client.0.deadline()), (None, Some(now + LINGER_GRACE)));
        client.answered(false);
        let late = now + LINGER - LINGER_GRACE / 2;
        client.0.received(LINGER_BYTES, late);
        assert_eq!(client.0.deadline(), Some(now + LINGER), "never longer");
    }

    #[test]
    fn the_interim_answer_waits_for_the_body_to_be_wanted() {
        let client = client();
        client.wants_body();
        assert_eq!(client.0.interim.get(), Continue::No);
        client.expects_continue();
        client.0.interim.set(Continue::Held);
        client.wants_body();
        assert_eq!(client.0.interim.get(), Continue::Due);
        client.answered(true);
        assert_eq!(client.0.interim.get(), Continue::No, "the answer itself replaces it");
    }
}
