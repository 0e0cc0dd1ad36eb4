//! R6: the broker is restarted under load, by SIGTERM and by SIGKILL. Each process must recover by itself,
//! and the gateway must reject no create.

use std::time::Duration;

use e2e::{Service, Signal};
use serde_json::json;

use crate::load::Load;
use crate::recovery::all_ready;
use crate::report::Report;
use crate::run_checks::check_load;
use crate::stage::Stage;

const RESTARTS: usize = 8;
const RESTARTS_IN_FULL: usize = 20;
const WITHIN: Duration = Duration::from_secs(15);
const PER_SECOND: u32 = 10;
/// The time between two restarts.
const BETWEEN: Duration = Duration::from_secs(2);

pub(crate) async fn drill(stage: &mut Stage, full: bool) -> Report {
    let mut report = Report::new("R6 broker restarts", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let workers = [stack.start(Service::RunWorker).await, stack.start(Service::RunWorker).await];
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let processes = [&gateway, &workers[0], &workers[1], &dispatcher];
    let load = Load::start(&stack, &[&gateway], PER_SECOND, json!({}), |number| format!("run {number}"));
    for number in 0..if full { RESTARTS_IN_FULL } else { RESTARTS } {
        tokio::time::sleep(BETWEEN).await;
        stage.broker.restart(if number % 2 == 0 { Signal::TERM } else { Signal::KILL }).await;
        report.faults += 1;
        report.recoveries.push(all_ready(&processes).await);
    }
    check_load(&mut report, &stack, load.stop().await, false).await;
    report
}
