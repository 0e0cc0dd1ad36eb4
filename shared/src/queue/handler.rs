//! What the consumer needs from a service.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::DbError;

/// Handles the nudges of one work queue.
pub trait Handler: Send + Sync + 'static {
    /// Makes one database call. Returns the permit if there was no work; otherwise the started work keeps it.
    fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Result<Option<OwnedSemaphorePermit>, DbError>> + Send;

    /// How often a slot calls [`Self::poll`] before it takes the next message. With `None` it never does.
    fn poll_interval(&self) -> Option<Duration> {
        None
    }

    /// A counter that changes when a slot must poll before the interval is over.
    fn poll_requests(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Makes one database call to find work that no nudge announces. Returns the permit if there was none.
    fn poll(
        &self,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send {
        std::future::ready(Some(permit))
    }
}

/// Returns when `next_poll` is reached or `requests` changes. Never returns if both are `None`.
pub(super) async fn poll_due(next_poll: Option<Instant>, requests: &mut Option<watch::Receiver<u64>>) {
    let time = async {
        match next_poll {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let requested = async {
        let changed = match requests {
            Some(requests) => requests.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! { () = time => {}, () = requested => {} }
}
