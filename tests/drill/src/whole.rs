//! Whether all services are whole again.

use std::time::{Duration, Instant};

use e2e::{Process, Stack};

/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long it takes from now until every process says that it is ready.
pub(crate) async fn all_ready(processes: &[&Process]) -> Duration {
    let begun = Instant::now();
    for process in processes {
        while begun.elapsed() < PATIENCE && !process.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    begun.elapsed()
}

/// How long it takes from now until a run that is created now has begun; without a broker's or a sweeper's
/// help it would not.
pub(crate) async fn a_run_begins(stack: &Stack, gateway: &Process) -> (String, Duration) {
    let begun = Instant::now();
    let id = stack.create_run(gateway, "hello", None).await;
    let started =
        format!("SELECT count(*)::text AS text FROM runs WHERE id = '{id}' AND started_at IS NOT NULL");
    while begun.elapsed() < PATIENCE && stack.text(&started).await != "1" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (id, begun.elapsed())
}
