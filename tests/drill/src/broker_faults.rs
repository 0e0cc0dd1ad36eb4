//! R8, R9, R10: under load, the queue is deleted, the broker runs out of memory, or all nudges are purged.
//! The gateway must reject no create, and runs must start again soon.

use std::time::Duration;

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::queue::WorkQueue;
use shared::testing::eventually;

use crate::load::Load;
use crate::recovery::{a_run_starts, all_ready};
use crate::report::Report;
use crate::run_checks::check_load;
use crate::stage::Stage;

const PER_SECOND: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(30);
/// No create waits for the broker.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

async fn services(stack: &Stack) -> [Process; 3] {
    [
        stack.start(Service::Gateway).await,
        stack.start(Service::RunWorker).await,
        stack.start(Service::RunWorker).await,
    ]
}

fn steady(stack: &Stack, gateway: &Process) -> Load {
    Load::start(stack, &[gateway], PER_SECOND, json!({}), |number| format!("run {number}"))
}

/// `beside` holds the runs that were created in addition to the load.
async fn check_runs(report: &mut Report, stack: &Stack, load: Load, beside: Vec<String>) {
    let mut answers = load.stop().await;
    let p99 = answers.percentile(99);
    report.must(p99 < ANSWERED_WITHIN, || format!("the 99th percentile of the creates is {p99:?}"));
    answers.accepted.extend(beside);
    check_load(report, stack, answers, false).await;
}

/// R8.
pub(crate) async fn deletions(stage: &Stage) -> Report {
    const DELETIONS: usize = 8;
    let mut report = Report::new("R8 the queue is deleted", WITHIN);
    let stack = stage.stack().await;
    let [gateway, first, second] = services(&stack).await;
    let (load, mut beside) = (steady(&stack, &gateway), Vec::new());
    for _ in 0..DELETIONS {
        tokio::time::sleep(BETWEEN).await;
        stack.queues.delete(WorkQueue::Runs).await;
        report.faults += 1;
        let (id, begins) = a_run_starts(&stack, &gateway).await;
        beside.push(id);
        report.recoveries.push(begins + all_ready(&[&gateway, &first, &second]).await);
    }
    check_runs(&mut report, &stack, load, beside).await;
    report
}

/// R9.
pub(crate) async fn alarms(stage: &Stage) -> Report {
    const ALARMS: usize = 3;
    /// Longer than the wait for a confirm.
    const LASTS: Duration = Duration::from_secs(8);
    let mut report = Report::new("R9 the broker has no memory", WITHIN);
    let stack = stage.stack().await;
    let [gateway, first, second] = services(&stack).await;
    let (load, mut beside) = (steady(&stack, &gateway), Vec::new());
    for _ in 0..ALARMS {
        tokio::time::sleep(BETWEEN).await;
        let before = gateway.counter("capi_broker_connection_failures_total").await;
        stage.broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
        report.faults += 1;
        tokio::time::sleep(LASTS).await;
        let lost = gateway.counter("capi_broker_connection_failures_total").await;
        report.must(lost > before, || "the gateway did not give up publishing during the alarm".to_owned());
        stage.broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        let (id, begins) = a_run_starts(&stack, &gateway).await;
        beside.push(id);
        report.recoveries.push(begins + all_ready(&[&gateway, &first, &second]).await);
    }
    check_runs(&mut report, &stack, load, beside).await;
    report
}

/// R10.
pub(crate) async fn purges(stage: &Stage) -> Report {
    const PURGES: usize = 5;
    const RUNS: usize = 200;
    let mut report = Report::new("R10 nudges are purged under 200 pending runs", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut accepted = std::collections::HashSet::new();
    for round in 1..=PURGES {
        for number in 0..RUNS {
            accepted.insert(stack.create_run_once(&gateway, &format!("run {number}")).await);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
        let all = (round * RUNS) as f64;
        eventually("all nudges are sent", async || {
            let sent = gateway.counter("capi_nudges_published_total").await;
            (sent + gateway.counter("capi_nudges_merged_total").await >= all).then_some(())
        })
        .await;
        stack.queues.purge(WorkQueue::Runs).await;
        report.faults += 1;
        let mut worker = stack.start(Service::RunWorker).await;
        let begun = std::time::Instant::now();
        crate::run_checks::settled(&stack).await;
        report.recoveries.push(begun.elapsed());
        report.must(worker.terminate().await, || "the worker did not stop cleanly".to_owned());
    }
    crate::run_checks::check_runs(&mut report, &stack, &accepted, "completed").await;
    report
}
