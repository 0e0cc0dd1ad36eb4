//! How a process stops, in two stages: the first SIGTERM or SIGINT asks it to finish what it has, a second one, or
//! the end of the grace period, ends it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time that a draining process gets; orchestrators wait for 30 s.
pub const GRACE: Duration = Duration::from_secs(25);

/// What tasks that outlive all others get to send off what those left: longer than the publisher's flush and the
/// closing of its connection together.
const FLUSH_GRACE: Duration = Duration::from_secs(4);

/// Runs a program on a runtime of its own. What a thread still computes or waits for when the program is through (a schema
/// that explodes, a name that nobody resolves) does not keep the process.
pub fn run_to_end(program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(program);
    runtime.shutdown_background();
    ended
}

/// The tasks of one running service, and the wish that they stop.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: TaskTracker,
    flushing: CancellationToken,
    last_tasks: TaskTracker,
}

impl Lifecycle {
    /// Starts a task that is waited for at the end. It must be short, or watch [`Self::stopping`].
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Starts a task that others depend on to their end, like the publisher. It must watch [`Self::flushing`].
    pub fn spawn_last(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.last_tasks.spawn(task);
    }

    /// Cancelled once all other tasks have ended.
    #[must_use]
    pub fn flushing(&self) -> &CancellationToken {
        &self.flushing
    }

    /// Cancelled once the process is to stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Asks all tasks to end and waits for them, at most for [`GRACE`], then for the last ones. False if some had to
    /// be left.
    pub async fn stop(&self) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(GRACE, self.tasks.wait()).await.is_ok();
        self.flushing.cancel();
        self.last_tasks.close();
        tokio::time::timeout(FLUSH_GRACE, self.last_tasks.wait()).await.is_ok() && ended
    }

    /// Waits for a signal, then stops; a second signal cuts that short.
    pub async fn run_until_signalled(&self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut signalled =
            async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        signalled().await;
        tracing::info!(grace_seconds = GRACE.as_secs(), "stopping; a second signal ends at once");
        tokio::select! {
            clean = self.stop() => tracing::info!(clean, "stopped"),
            () = signalled() => tracing::warn!("stopped by a second signal"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_busy_does_not_keep_the_process() {
        let (started, begun) = (std::sync::mpsc::channel(), std::time::Instant::now());
        let (starting, keep_busy) = started;
        let program = async move {
            tokio::task::spawn_blocking(move || keep_busy.recv_timeout(GRACE * 4));
            Ok(())
        };
        run_to_end(program).unwrap();
        assert!(begun.elapsed() < GRACE);
        drop::<std::sync::mpsc::Sender<()>>(starting);
    }
}
