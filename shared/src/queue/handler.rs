//! What the consumer asks of a service.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
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

    /// Returns when there is reason to look sooner.
    fn news(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// One database call for work that no message announces. Gives the permit back where there was none.
    fn look(
        &self,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send {
        std::future::ready(Some(permit))
    }
}
