//! What the consumer needs from a service.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::Nudge;
use crate::db::DbError;

/// What a handler leaves after a call.
#[derive(Debug, Default)]
pub struct Handled {
    /// The permits that no work was found for, maybe of no place. The started work keeps the others.
    pub unused: Option<OwnedSemaphorePermit>,
    /// Ids that still have work, but no permit was left for it. They are nudged again.
    pub again: Vec<Nudge>,
}

/// Handles the nudges of one work queue.
pub trait Handler: Send + Sync + 'static {
    /// Makes one database call for all nudges: they have distinct ids and are at most 64. `permits` are as
    /// many as were free, 1 to 64.
    fn handle(
        &self,
        nudges: Vec<Nudge>,
        permits: OwnedSemaphorePermit,
    ) -> impl Future<Output = Result<Handled, DbError>> + Send;

    /// How often the consumer calls [`Self::poll`] before it takes the next message. With `None` it never
    /// does.
    fn poll_interval(&self) -> Option<Duration> {
        None
    }

    /// A counter that changes when the consumer must poll before the interval is over.
    fn poll_requests(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Makes one database call to find work that no nudge announces. Returns the permits that are left.
    fn poll(
        &self,
        permits: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send {
        std::future::ready(Some(permits))
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
