//! R7: PostgreSQL is restarted repeatedly under load, cleanly and by crashes. No run may be lost, no create
//! may be answered 202 without a row, and each process must recover by itself.

use std::time::{Duration, Instant};

use e2e::{Service, Signal};
use serde_json::json;

use crate::load::Load;
use crate::recovery::all_ready;
use crate::report::Report;
use crate::run_checks::{check_load, takeovers};
use crate::stage::Stage;

const DRILL: Duration = Duration::from_secs(150);
const DRILL_IN_FULL: Duration = Duration::from_mins(5);
/// The time from the start of PostgreSQL until each process is ready.
const WITHIN: Duration = Duration::from_secs(15);
/// During the outage, a create must be answered 503 in this time.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
const PER_SECOND: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(6);

pub(crate) async fn drill(stage: &mut Stage, full: bool) -> Report {
    let mut report = Report::new("R7 database restarts", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let workers = [stack.start(Service::RunWorker).await, stack.start(Service::RunWorker).await];
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let processes = [&gateway, &workers[0], &workers[1], &dispatcher];
    // Most runs are short. Some wait for the model during a restart.
    let slow = json!([{"wait": 2000, "say": "Done."}]);
    let text = move |number: usize| match number % 4 {
        0 => format!("SCRIPT {slow} run {number}"),
        _ => format!("run {number}"),
    };
    let load = Load::start(&stack, &[&gateway], PER_SECOND, json!({}), text);
    let begun = Instant::now();
    while begun.elapsed() < if full { DRILL_IN_FULL } else { DRILL } {
        tokio::time::sleep(BETWEEN).await;
        stage
            .postgres
            .restart(if report.faults.is_multiple_of(2) { Signal::INT } else { Signal::QUIT })
            .await;
        report.faults += 1;
        report.recoveries.push(all_ready(&processes).await);
    }
    let answers = load.stop().await;
    let slowest = answers.slowest_refusal;
    report.must(slowest < REFUSED_WITHIN, || format!("a create was answered 503 after {slowest:?}"));
    check_load(&mut report, &stack, answers, true).await;
    report.notes.push(format!("runs taken over: {}", takeovers(&stack).await.len()));
    report
}
