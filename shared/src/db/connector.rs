//! Opens the pool's connections, a few at a time. A caller waits less than a second for a connection. If it
//! gives up, the connection is still opened, and the next caller gets it. Otherwise a burst at a slow server
//! would open and discard connections without ever using one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::connect::connect_once;

/// How many connections are opened at once. More would make each of them slower.
const CONCURRENCY: usize = 4;
/// A late connection that stays unused for longer may be dead.
const LATE_TTL: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Connector {
    url: Arc<str>,
    application_name: &'static str,
    /// The driver of a connection runs on the runtime that opened it.
    runtime: Handle,
    permits: Arc<Semaphore>,
    /// Connections whose callers gave up, with the time of opening.
    late: Arc<Mutex<Vec<(Instant, AsyncPgConnection)>>>,
}

impl Connector {
    /// Connections will be opened on the runtime that calls this.
    pub(super) fn new(url: &str, application_name: &'static str) -> Self {
        Self {
            url: url.into(),
            application_name,
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            late: Arc::default(),
        }
    }

    /// Returns a new connection, or a late one. The future may be dropped at any time.
    pub(super) async fn open(self) -> ConnectionResult<AsyncPgConnection> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(stopped)?;
        if let Some(late) = self.take_late() {
            return Ok(late);
        }
        let (answer, answered) = oneshot::channel();
        let (url, name, late) = (Arc::clone(&self.url), self.application_name, Arc::clone(&self.late));
        self.runtime.spawn(async move {
            if let Err(Ok(unclaimed)) = answer.send(connect_once(&url, name).await) {
                late.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), unclaimed));
            }
            drop(permit);
        });
        let opened = answered.await.map_err(stopped)?;
        opened.map_err(|error| ConnectionError::BadConnection(error.to_string()))
    }

    fn take_late(&self) -> Option<AsyncPgConnection> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.retain(|(opened, _)| opened.elapsed() < LATE_TTL);
        late.pop().map(|(_, connection)| connection)
    }
}

fn stopped(error: impl std::fmt::Display) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TcpProxy, TestDatabase, eventually};
    use url::Url;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_caller_gets_a_late_connection() {
        let database = TestDatabase::create_empty().await;
        let mut url = Url::parse(&database.url).unwrap();
        let proxy = TcpProxy::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())).await;
        url.set_port(Some(proxy.address.port())).unwrap();
        let connector = Connector::new(url.as_str(), "capi-test-late");
        let limited =
            async || tokio::time::timeout(Duration::from_millis(500), connector.clone().open()).await;
        proxy.freeze();
        assert!(limited().await.is_err(), "the caller gives up");
        proxy.mend();
        eventually("the connection is opened anyway", async || {
            (connector.late.lock().unwrap().len() == 1).then_some(())
        })
        .await;
        proxy.freeze();
        assert!(matches!(limited().await, Ok(Ok(_))), "the next caller gets it");
        assert!(limited().await.is_err(), "a third caller does not");
    }
}
