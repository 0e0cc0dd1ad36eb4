//! Waiting for a run's end: subscribe, read, sleep until something happens, read again.

use std::time::Duration;

use shared::ids::{RunId, UserId};
use shared::runs::{RunStatus, status};
use tokio::time::Instant;

use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, seconds};

/// `?wait=SECONDS`: shortened to what the operator allows, never refused for being long. None where nothing is to be
/// waited for.
pub(super) fn wait_parameter(query: &mut Query, most: Duration) -> Option<Duration> {
    let text = query.text("wait")?;
    let seconds = seconds(&text);
    if seconds.is_none() {
        query.wrong("wait", "wait must be a whole number of seconds");
    }
    seconds.map(|wait| wait.min(most)).filter(|wait| !wait.is_zero())
}

/// Waits until the user's run is over, the time is up, or this process is to stop.
pub(super) async fn until_over(
    context: &Context,
    user: UserId,
    run: RunId,
    length: Duration,
) -> Result<(), ApiError> {
    let deadline = Instant::now() + length;
    let mut watch = context.live.watch(run);
    loop {
        let asking = context.db.read(|mut conn| async move { status(&mut conn, user, None, run).await });
        if asking.await?.is_none_or(RunStatus::is_over) {
            return Ok(());
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(()),
            () = context.lifecycle.stopping().cancelled() => return Ok(()),
        }
    }
}
