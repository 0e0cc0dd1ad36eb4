//! Waiting for a run's end: subscribe, read, sleep until something happens, read again.

use std::time::Duration;

use shared::ids::{RunId, UserId};
use shared::runs::{RunStatus, status};
use tokio::time::Instant;

use crate::context::Context;
use crate::extract::{Query, seconds};

/// `?wait=SECONDS`: shortened to what the operator allows, never refused for being long. None where nothing is to be
/// waited for.
pub(super) fn wait_parameter(query: &mut Query, most: Duration) -> Option<Duration> {
    let wait = query.parsed("wait", "a whole number of seconds", seconds)?;
    Some(wait.min(most)).filter(|wait| !wait.is_zero())
}

/// Waits until the user's run is over, the time is up, or this process is to stop. A database that is away for a moment
/// ends no wait.
pub(super) async fn until_over(context: &Context, user: UserId, run: RunId, deadline: Instant) {
    let mut watch = context.live.watch(run);
    let looking = async {
        loop {
            let asking = context.db.read(|mut conn| async move { status(&mut conn, user, None, run).await });
            match asking.await {
                Ok(status) if status.is_none_or(RunStatus::is_over) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, run_id = %run, "a waiting request cannot look"),
            }
            watch.changed().await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = tokio::time::sleep_until(deadline) => {}
        () = context.lifecycle.stopping().cancelled() => {}
    }
}
