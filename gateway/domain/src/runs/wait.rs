//! Waiting for the end of a run: watch, read, sleep until the run may have changed, read again.

use shared::db::Db;
use shared::ids::{RunId, UserId};
use shared::runs::{RunStatus, status};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RunWatchers;

/// Returns when the user's run is over, when the deadline passes, or when the process stops. A short outage
/// of the database does not end the wait.
pub async fn until_over(
    db: &Db,
    watchers: &RunWatchers,
    stopping: &CancellationToken,
    (user, run): (UserId, RunId),
    deadline: Instant,
) {
    let mut watch = watchers.watch(run);
    let polling = async {
        loop {
            match db.read(|mut conn| async move { status(&mut conn, user, None, run).await }).await {
                Ok(status) if status.is_none_or(RunStatus::is_over) => return,
                Ok(_) => {
                    watch.woken().await;
                }
                Err(error) => {
                    tracing::debug!(%error, run_id = %run, "failed to read the status of a waited-for run");
                    watch.retry().await;
                }
            }
        }
    };
    tokio::select! {
        () = polling => {}
        () = tokio::time::sleep_until(deadline) => {}
        () = stopping.cancelled() => {}
    }
}
