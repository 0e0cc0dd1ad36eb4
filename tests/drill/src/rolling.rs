//! R3: rolling restarts of every service under load, by SIGTERM. A broken connection must be repaired by one
//! retry, a run may lose only its current step, and every webhook must arrive.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::WebhookReceiver;

use crate::load::Load;
use crate::report::Report;
use crate::run_checks::{check_load, no_recorded_answer_was_asked_for_again, takeovers};
use crate::stage::Stage;

const ROUNDS: usize = 4;
const PER_SECOND: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(2);
/// R3: after a SIGTERM during a model call, another worker must continue the run within 8 s.
const WITHIN: Duration = Duration::from_secs(8);

/// Starts a new process, then stops the old one. Returns how long the stop takes.
async fn replace(report: &mut Report, stack: &Stack, service: Service, old: &mut Process) -> Duration {
    let mut leaving = std::mem::replace(old, stack.start(service).await);
    let begun = Instant::now();
    report.must(leaving.terminate().await, || format!("{} did not stop cleanly", service.program()));
    begun.elapsed()
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("rolling restarts (R3)", WITHIN);
    let stack = stage.stack().await;
    let receiver = WebhookReceiver::start([]).await;
    let mut gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let mut workers = [stack.start(Service::RunWorker).await, stack.start(Service::RunWorker).await];
    let mut dispatchers =
        [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await];
    // Every tenth run waits for the model longer than the grace period of a worker.
    let slow = json!([
        {"say": "Thinking.", "call": [["current_time", ""]]},
        {"wait": 5000, "say": "Done."}
    ]);
    let text = move |number: usize| match number % 10 {
        0 => format!("SCRIPT {slow} run {number}"),
        _ => format!("run {number}"),
    };
    let more = json!({"webhookUrl": receiver.url(), "appId": stack.import_with_tools("").await});
    let load = Load::start(&stack, &[&gateways[0], &gateways[1]], PER_SECOND, more, text);
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let at = round % 2;
        tokio::time::sleep(BETWEEN).await;
        let fresh = stack.start(Service::Gateway).await;
        let mut leaving = std::mem::replace(&mut gateways[at], fresh);
        load.use_gateways(&[&gateways[0], &gateways[1]]);
        report.must(leaving.terminate().await, || "a gateway did not stop cleanly".to_owned());
        slowest = slowest.max(replace(&mut report, &stack, Service::RunWorker, &mut workers[at]).await);
        replace(&mut report, &stack, Service::WebhookDispatcher, &mut dispatchers[at]).await;
        report.faults += 3;
    }
    report.notes.push(format!("slowest worker to stop: {slowest:.1?}"));
    check_load(&mut report, &stack, load.stop().await, false).await;
    let losses = "SELECT count(*)::text AS text FROM runs r JOIN run_events e ON e.run_id = r.id
                  WHERE e.data ->> 'losses' <> '0'";
    let losses = stack.text(losses).await;
    report.must(losses == "0", || format!("{losses} planned takeovers were counted as losses"));
    report.recoveries = takeovers(&stack).await;
    no_recorded_answer_was_asked_for_again(&mut report, &stack).await;
    let undelivered = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while stack.text(undelivered).await != "0" && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let left = stack.text(undelivered).await;
    report.must(left == "0", || format!("{left} webhooks were not delivered"));
    let arrived = receiver.received();
    let told: HashSet<_> = arrived.iter().map(|webhook| webhook.json()["data"]["id"].to_string()).collect();
    report.must(told.len() == report.accepted, || format!("webhooks arrived for {} runs", told.len()));
    report.notes.push(format!("webhooks: {} received for {} runs", arrived.len(), report.accepted));
    report
}
