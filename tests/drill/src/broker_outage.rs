//! R5: the broker is away for a minute under a steady load. Every create is answered 202 in time, no run
//! starts, and the backlog is drained soon after the broker's return.

use std::time::{Duration, Instant};

use e2e::Service;
use serde_json::json;

use crate::load::Load;
use crate::report::Report;
use crate::run_checks::{check_load, settled};
use crate::stage::Stage;

const OUTAGE: Duration = Duration::from_mins(1);
const PER_SECOND: u32 = 20;
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// The bar of the 99th percentile of all creates.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R5 the broker is away for a minute", DRAINED_WITHIN);
    let mut stack = stage.stack().await;
    let (proxy, settings) = stack.broker_proxy().await;
    stack.settings = settings;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    proxy.cut();
    report.faults = 1;
    let load = Load::start(&stack, &[&gateway], PER_SECOND, json!({}), |number| format!("run {number}"));
    tokio::time::sleep(OUTAGE).await;
    let answers = load.stop().await;
    let p99 = answers.percentile(99);
    report.must(p99 < ANSWERED_WITHIN, || format!("the 99th percentile of the creates is {p99:?}"));
    let started = stack.text("SELECT count(*)::text AS text FROM runs WHERE status <> 'pending'").await;
    report.must(started == "0", || format!("{started} runs started without the broker"));
    proxy.mend();
    let mended = Instant::now();
    settled(&stack).await;
    report.recoveries.push(mended.elapsed());
    let (asked, accepted) = (stack.model.asked().len(), answers.accepted.len());
    report.must(asked == accepted, || format!("the model was asked {asked} times for {accepted} runs"));
    check_load(&mut report, &stack, answers, false).await;
    report
}
