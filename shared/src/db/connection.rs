//! A pooled connection that returns to the pool only after its call succeeded. An abandoned call (a deadline,
//! a client that disconnected) leaves its statement running, and the next call would wait for it. A
//! connection to a server that stopped or became a standby would fail for ever.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

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

    /// Splits off the call that decides whether the connection returns to the pool. Drop the call after the
    /// connection.
    pub(super) fn for_call(mut self) -> (Call, Self) {
        let slot = Slot::default();
        self.returned = Some(Arc::clone(&slot));
        (Call { returned: slot, reusable: false }, self)
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

/// Discards its connection when dropped, unless [`Self::succeeded`] was called.
pub(super) struct Call {
    returned: Slot,
    reusable: bool,
}

impl Call {
    /// Returns the connection to the pool.
    pub(super) fn succeeded(mut self) {
        self.reusable = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let object = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(object) = object.filter(|_| !self.reusable) {
            metrics::counter!("capi_database_connections_discarded_total").increment(1);
            drop(Object::take(object));
        }
    }
}
