//! A pooled connection that knows whether it may go back to the pool. A call that is given up half way (a deadline, a
//! client that hung up) leaves its statement unfinished on the connection: whoever got it next would wait behind that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

/// A pooled connection; closed instead of reused where its [`Call`] did not come to its end.
pub struct Connection {
    object: Option<Object<AsyncPgConnection>>,
    unusable: Arc<AtomicBool>,
}

impl Connection {
    pub(super) fn new(object: Object<AsyncPgConnection>) -> Self {
        Self { object: Some(object), unusable: Arc::default() }
    }

    /// The watch over one call on this connection. Must be dropped before the connection is.
    pub(super) fn call(&self) -> Call {
        Call { unusable: Arc::clone(&self.unusable), ended: false }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.unusable.load(Ordering::Relaxed)
            && let Some(object) = self.object.take()
        {
            metrics::counter!("capi_database_connections_discarded_total").increment(1);
            drop(Object::take(object));
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

/// See [`Connection::call`].
pub(super) struct Call {
    unusable: Arc<AtomicBool>,
    ended: bool,
}

impl Call {
    /// The answer came: the connection may be used again.
    pub(super) fn ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.unusable.store(true, Ordering::Relaxed);
        }
    }
}
