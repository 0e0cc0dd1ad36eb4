//! Opens the pool's connections, a few at a time. Callers wait for a connection for less than a second; what was begun for one
//! who gave up is finished all the same, and the next who asks gets it. Otherwise a burst at a slow server would open and
//! throw away connections without ever having one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::connect::connect_once;

/// Connections that are being opened at once: more of them only make each slower.
const AT_ONCE: usize = 4;
/// A connection that came late and that nobody asked for meanwhile may be dead.
const LATE_IS_GOOD_FOR: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone)]
pub(super) struct Connector {
    url: Arc<str>,
    application_name: &'static str,
    /// A connection's driver lives where the connection was opened.
    runtime: Handle,
    permits: Arc<Semaphore>,
    late: Arc<Mutex<Vec<(Instant, AsyncPgConnection)>>>,
}

impl Connector {
    /// Opens on the runtime this is called on.
    pub(super) fn new(url: &str, application_name: &'static str) -> Self {
        Self {
            url: url.into(),
            application_name,
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            late: Arc::default(),
        }
    }

    /// A fresh connection. May be dropped half way.
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
        late.retain(|(came, _)| came.elapsed() < LATE_IS_GOOD_FOR);
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
    async fn a_connection_that_comes_late_is_the_next_callers() {
        let database = TestDatabase::create_empty().await;
        let mut url = Url::parse(&database.url).unwrap();
        let proxy = TcpProxy::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())).await;
        url.set_port(Some(proxy.address.port())).unwrap();
        let connector = Connector::new(url.as_str(), "capi-test-late");
        let patient =
            async || tokio::time::timeout(Duration::from_millis(500), connector.clone().open()).await;
        proxy.freeze();
        assert!(patient().await.is_err(), "the caller gives up");
        proxy.mend();
        eventually("it comes all the same", async || {
            (connector.late.lock().unwrap().len() == 1).then_some(())
        })
        .await;
        proxy.freeze();
        assert!(matches!(patient().await, Ok(Ok(_))), "and is used");
        assert!(patient().await.is_err(), "once");
    }
}
