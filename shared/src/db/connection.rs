//! A pooled connection that only goes back to the pool when its call came to a good end. A call that is given up half way
//! (a deadline, a client that hung up) leaves its statement unfinished, and whoever got the connection next would wait
//! behind that; one whose server went away, or became a standby, would fail for ever.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

type Slot = Arc<Mutex<Option<Object<AsyncPgConnection>>>>;

/// A pooled connection.
pub struct Connection {
    object: Option<Object<AsyncPgConnection>>,
    /// Where the call that it is used in finds it again.
    returned: Option<Slot>,
}

impl Connection {
    /// For whoever uses it to the end.
    pub(super) const fn new(object: Object<AsyncPgConnection>) -> Self {
        Self { object: Some(object), returned: None }
    }

    /// The same connection, and the call that decides what becomes of it. The call must be dropped after it.
    pub(super) fn for_call(mut self) -> (Call, Self) {
        let slot = Slot::default();
        self.returned = Some(Arc::clone(&slot));
        (Call { returned: slot, well: false }, self)
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

    #[expect(clippy::expect_used, reason = "only Drop takes it")]
    fn deref(&self) -> &AsyncPgConnection {
        self.object.as_deref().expect("there until it is dropped")
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "only Drop takes it")]
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.object.as_deref_mut().expect("there until it is dropped")
    }
}

/// See [`Connection::for_call`].
pub(super) struct Call {
    returned: Slot,
    well: bool,
}

impl Call {
    /// An answer came that says nothing against the connection: it goes back to the pool.
    pub(super) fn ended_well(mut self) {
        self.well = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let object = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(object) = object.filter(|_| !self.well) {
            metrics::counter!("capi_database_connections_discarded_total").increment(1);
            drop(Object::take(object));
        }
    }
}
