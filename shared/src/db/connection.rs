//! A pooled connection that returns to the pool only after its call succeeded. An abandoned call (a deadline,
//! a client that disconnected) leaves its statement running, and the next call would wait for it. A
//! connection to a server that stopped or became a standby would fail for ever.
//!
//! An abandoned read closes its connection, and PostgreSQL ends the statement. An abandoned write keeps it
//! until the server has answered (see [`super::in_doubt`]).

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

use super::in_doubt::Sent;

type Slot = Arc<Mutex<Option<Object<AsyncPgConnection>>>>;

pub struct Connection {
    object: Option<Object<AsyncPgConnection>>,
    /// Where the drop puts the connection, for its [`Call`].
    returned: Option<Slot>,
}

impl Connection {
    /// A connection that always returns to the pool.
    pub(super) const fn new(object: Object<AsyncPgConnection>) -> Self {
        Self { object: Some(object), returned: None }
    }

    /// Splits off the call that decides what becomes of the connection. Drop the call after the connection.
    /// `write`: what is known about a write.
    pub(super) fn for_call(mut self, write: Option<Sent>) -> (Call, Self) {
        let slot = Slot::default();
        self.returned = Some(Arc::clone(&slot));
        (Call { returned: slot, outcome: Outcome::Unanswered(write) }, self)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(slot) = &self.returned {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = self.object.take();
        }
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;

    #[expect(clippy::expect_used, reason = "only drop takes the connection")]
    fn deref(&self) -> &AsyncPgConnection {
        self.object.as_deref().expect("present until the drop")
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "only drop takes the connection")]
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.object.as_deref_mut().expect("present until the drop")
    }
}

/// Decides about its connection when it is dropped.
pub(super) struct Call {
    returned: Slot,
    outcome: Outcome,
}

enum Outcome {
    /// The connection returns to the pool.
    Reusable,
    Broken,
    /// Abandoned before the server answered. `Some` for a write.
    Unanswered(Option<Sent>),
}

impl Call {
    /// The server answered. `reusable`: the connection returns to the pool.
    pub(super) fn answered(mut self, reusable: bool) {
        self.outcome = if reusable { Outcome::Reusable } else { Outcome::Broken };
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let object = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Broken);
        match (object, outcome) {
            (Some(object), Outcome::Unanswered(Some(sent))) => sent.wait_for_answer(object),
            (Some(object), Outcome::Broken | Outcome::Unanswered(None)) => discard(object),
            (_, Outcome::Reusable) | (None, _) => {}
        }
    }
}

/// Closes the connection. A new one may take its place in the pool.
pub(super) fn discard(object: Object<AsyncPgConnection>) {
    metrics::counter!("capi_database_connections_discarded_total").increment(1);
    drop(Object::take(object));
}
