//! Retries a database call of a run during an outage, because the model answer that the run holds was paid
//! for. It gives up after a lease time: a database that renews leases but takes no other write would keep the
//! run for ever. Other errors return at once, because the same statement would fail again.

use std::time::Duration;

use shared::config::LeaseConfig;
use shared::db::{Connection, Db, DbError};
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(500);

/// Repeats `call` with a connection until the database answers. Returns the last error. `what` completes
/// "failed to …".
pub async fn retry_on_outage<T, Call: Future<Output = Result<T, DbError>>>(
    db: &Db,
    lease: LeaseConfig,
    what: &'static str,
    call: impl Fn(Connection) -> Call,
) -> Result<T, DbError> {
    retry_call(lease, what, || db.write(&call)).await
}

/// The same for a call of a set (see [`shared::batch`]). A full queue counts as an outage.
pub async fn retry_call<T, Call: Future<Output = Result<T, DbError>>>(
    lease: LeaseConfig,
    what: &'static str,
    call: impl Fn() -> Call,
) -> Result<T, DbError> {
    let until = Instant::now() + lease.lease();
    let mut logged = false;
    loop {
        match call().await {
            Err(error) if error.is_outage() && Instant::now() < until => {
                // One line a call: thousands of runs may be waiting.
                if !std::mem::replace(&mut logged, true) {
                    tracing::warn!(%error, "failed to {what}; retrying until the database answers");
                }
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
