//! How a process stops. After the first SIGTERM or SIGINT it finishes its work. A second signal, or the end
//! of the grace period, ends it at once.

use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stopping process may finish its work. Orchestrators kill it after 30 s.
pub const GRACE: Duration = Duration::from_secs(25);

/// Signals within this time are the same request: systemd sends a signal to all processes of a unit, and the
/// supervisor of a worker passes it on too.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// How long the last tasks may take after all others ended. It must be longer than the publisher's flush and
/// the close of its connection together.
const FLUSH_GRACE: Duration = Duration::from_secs(4);

/// Runs a program on a new runtime. A thread that still computes or blocks when the program ends (an
/// explosive schema, a slow name resolution) does not keep the process alive.
///
/// All services start here, so here they forbid core dumps.
pub fn run_to_end(program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    forbid_core_dumps();
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(program);
    runtime.shutdown_background();
    ended
}

/// A core dump would write keys and inputs to the disk. Programs that the process starts inherit only the
/// limit.
pub fn forbid_core_dumps() {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The limit does not hold for a handler that the kernel pipes core dumps to. This also keeps other
    // processes of the same user from reading the memory.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(hidden) {
        tracing::warn!(%error, "failed to forbid core dumps");
    }
}

/// The tasks of a running service, and the signal to stop them.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: TaskTracker,
    flushing: CancellationToken,
    last_tasks: TaskTracker,
}

impl Lifecycle {
    /// Starts a task that [`Self::stop`] waits for. It must be short, or watch [`Self::stopping`].
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Starts a task that the others need until they end, like the publisher. It must watch
    /// [`Self::flushing`].
    pub fn spawn_last(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.last_tasks.spawn(task);
    }

    /// Cancelled when all tasks of [`Self::spawn`] have ended.
    #[must_use]
    pub fn flushing(&self) -> &CancellationToken {
        &self.flushing
    }

    /// Cancelled when the process must stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Signals all tasks to stop and waits for them, at most for [`GRACE`], then for the last ones. Returns
    /// false if some did not end in time.
    pub async fn stop(&self) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(GRACE, self.tasks.wait()).await.is_ok();
        self.flushing.cancel();
        self.last_tasks.close();
        tokio::time::timeout(FLUSH_GRACE, self.last_tasks.wait()).await.is_ok() && ended
    }

    /// Waits for a signal, then stops. A second signal ends the wait for the tasks.
    pub async fn run_until_signalled(&self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut signalled =
            async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        signalled().await;
        tracing::info!(grace_seconds = GRACE.as_secs(), "stopping; a second signal stops at once");
        let second = async {
            let repeated = async {
                loop {
                    signalled().await;
                }
            };
            let _: Result<(), _> = tokio::time::timeout(SAME_REQUEST, repeated).await;
            signalled().await;
        };
        tokio::select! {
            clean = self.stop() => tracing::info!(clean, "stopped"),
            () = second => tracing::warn!("stopped by a second signal"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_does_not_keep_the_process_alive() {
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
