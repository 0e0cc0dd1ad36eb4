//! Waiting for a run's end: subscribe, read, sleep until something happens, read again.

use std::time::Duration;

use shared::ids::{RunId, UserId};
use shared::runs::RunView;
use tokio::time::Instant;

use super::get::is_over;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

/// What a wait came to.
pub(super) enum Waiting {
    /// The run is over.
    Over(Box<RunView>),
    /// The time, or this process, ended first: the run as it stood then.
    NotYet(Box<RunView>),
    /// The run was deleted meanwhile.
    Gone,
}

/// `?wait=SECONDS`: shortened to what the operator allows, never refused for being long. None for 0.
pub(super) fn wait_parameter(query: &mut Query, most: Duration) -> Option<Duration> {
    let seconds: Option<u32> = query.value("wait", "a whole number of seconds");
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()).min(most))
}

/// Waits for the end of the user's run, at most for `length`.
pub(super) async fn until_over(
    context: &Context,
    user: UserId,
    run: RunId,
    length: Duration,
) -> Result<Waiting, ApiError> {
    let deadline = Instant::now() + length;
    let mut watch = context.live.watch(run);
    loop {
        let viewer = &context.viewer;
        let reading = context.db.read(|mut conn| async move { viewer.load(&mut conn, user, run).await });
        let Some(view) = reading.await?.map(Box::new) else {
            return Ok(Waiting::Gone);
        };
        if is_over(&view) {
            return Ok(Waiting::Over(view));
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(Waiting::NotYet(view)),
            () = context.lifecycle.stopping().cancelled() => return Ok(Waiting::NotYet(view)),
        }
    }
}
