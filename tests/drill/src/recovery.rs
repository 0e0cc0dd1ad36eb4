//! Measures the time until the services have recovered.

use std::time::{Duration, Instant};

use e2e::{Process, Stack};

const RECOVERY_LIMIT: Duration = Duration::from_mins(1);

/// Waits until each process is ready. Returns the time.
pub(crate) async fn all_ready(processes: &[&Process]) -> Duration {
    let begun = Instant::now();
    for process in processes {
        while begun.elapsed() < RECOVERY_LIMIT && !process.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    begun.elapsed()
}

/// Creates a run and waits until it has started, which needs the broker or a sweeper. Returns its id and the
/// time.
pub(crate) async fn a_run_starts(stack: &Stack, gateway: &Process) -> (String, Duration) {
    let begun = Instant::now();
    let id = stack.create_run(gateway, "hello", None).await;
    let started =
        format!("SELECT count(*)::text AS text FROM runs WHERE id = '{id}' AND started_at IS NOT NULL");
    while begun.elapsed() < RECOVERY_LIMIT && stack.text(&started).await != "1" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (id, begun.elapsed())
}
