//! What the consumer asks of a service.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::DbError;

/// What a service does with a nudge.
pub trait Handler: Send + Sync + 'static {
    /// One database call. Gives the permit back where there was nothing to do; else work has begun that holds it.
    fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Result<Option<OwnedSemaphorePermit>, DbError>> + Send;

    /// How often a slot calls [`Self::look`] before it takes the next message; never where absent.
    fn look_interval(&self) -> Option<Duration> {
        None
    }

    /// Changes when there is reason to look sooner.
    fn news(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// One database call for work that no message announces. Gives the permit back where there was none.
    fn look(
        &self,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send {
        std::future::ready(Some(permit))
    }
}

/// Returns when a look is due, or when there is news; never where nothing is looked for.
pub(super) async fn time_to_look(due: Option<Instant>, news: &mut Option<watch::Receiver<u64>>) {
    let time = async {
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        let heard = match news {
            Some(news) => news.changed().await.is_ok(),
            None => false,
        };
        if !heard {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! { () = time => {}, () = told => {} }
}
