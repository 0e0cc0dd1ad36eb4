//! How long a run waits for the database. An outage is waited out, since the answer that the run holds was paid for;
//! but never longer than a lease lasts, because a database that renews leases and yet takes no write would keep the
//! run for ever. Whatever is no outage comes back at once: the same statement would only be refused again.

use std::time::Duration;

use shared::db::{Connection, DbError};
use tokio::time::Instant;

use crate::context::Context;

const PAUSE: Duration = Duration::from_millis(500);

/// Does `call` until the database answers it. The error is the last one.
pub async fn retry_on_outage<T, Call: Future<Output = Result<T, DbError>>>(
    context: &Context,
    what: &'static str,
    call: impl Fn(Connection) -> Call,
) -> Result<T, DbError> {
    let until = Instant::now() + context.lease.lease();
    let mut said = false;
    loop {
        match context.db.write(&call).await {
            Err(error) if error.is_outage() && Instant::now() < until => {
                // Once: thousands of runs may be waiting.
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, what, "waiting for the database");
                }
                tokio::time::sleep(PAUSE).await;
            }
            answered => return answered,
        }
    }
}
