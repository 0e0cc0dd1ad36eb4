//! Thousands of runs are accepted without a worker, and are gone before one starts. Their nudges must not
//! delay the runs that come later.

use std::time::Duration;

use e2e::{Process, Service, Stack};
use shared::queue::WorkQueue;
use shared::testing::eventually;

use crate::commands::wait_until_idle;
use crate::report::Report;
use crate::stage::Stage;

const GONE: usize = 5000;
const RUNS: usize = 50;
/// Milliseconds of the median pick-up that old nudges may cost.
const MORE_MS: f64 = 5.0;
/// Calls to the database of the worker that finds the old nudges. A call for each of them would be more.
const MOST_CALLS: f64 = 2000.0;
const WITHIN: Duration = Duration::from_secs(2);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("stale nudges", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut worker = stack.start(Service::RunWorker).await;
    let usual = pick_up(&stack, &gateway).await;
    report.must(worker.terminate().await, || "the worker did not stop cleanly".to_owned());
    for _ in 0..GONE {
        stack.create_run_once(&gateway, "hello").await;
    }
    let pending = "SELECT count(*)::text AS text FROM runs WHERE status = 'pending'";
    report.must(stack.text(pending).await == GONE.to_string(), || "some runs were not accepted".to_owned());
    for sql in [
        "DELETE FROM run_events e USING runs r WHERE r.id = e.run_id AND r.status = 'pending'",
        "DELETE FROM runs WHERE status = 'pending'",
    ] {
        stack.database.run_sql(sql).await;
    }
    report.faults += GONE;
    let ready = stack.queues.ready(WorkQueue::Runs).await;
    let worker = stack.start(Service::RunWorker).await;
    let after = pick_up(&stack, &gateway).await;
    eventually("no nudge is left", async || (stack.queues.ready(WorkQueue::Runs).await == 0).then_some(()))
        .await;
    let calls = worker.counter("capi_database_calls_total").await;
    report.must(calls < MOST_CALLS, || format!("the worker made {calls} calls"));
    report.recoveries.push(after.1);
    report.notes.push(format!(
        "{ready} nudges were in the queue after {GONE} creates; the worker made {calls} calls"
    ));
    report.notes.push(format!(
        "pick-up, median and maximum: {:.1?} and {:.1?} before, {:.1?} and {:.1?} after",
        usual.0, usual.1, after.0, after.1
    ));
    let most = usual.0.as_secs_f64() * 2000.0 + MORE_MS;
    let median = after.0.as_secs_f64() * 1000.0;
    report.must(median < most, || format!("the median is {median:.1} ms, more than {most:.1} ms"));
    report
}

/// The time from the create to the start of runs, one after the other: median and maximum.
async fn pick_up(stack: &Stack, gateway: &Process) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let id = stack.create_run_once(gateway, "hello").await;
        let sql = format!(
            "SELECT extract(epoch FROM started_at - created_at)::text AS text FROM runs
             WHERE id = '{id}' AND started_at IS NOT NULL"
        );
        let took = eventually("the run starts", async || stack.texts(&sql).await.pop()).await;
        times.push(Duration::from_secs_f64(took.parse().unwrap_or(1e6)));
    }
    wait_until_idle(stack).await;
    times.sort_unstable();
    (times[RUNS / 2], times[RUNS - 1])
}
