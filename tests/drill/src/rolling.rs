//! Rolling restarts of every service under load, by SIGTERM: no request fails beyond a connection that breaks
//! and a retry that cures it, no run loses more than the step it was in, every webhook arrives.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::WebhookReceiver;

use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;
use crate::verdict::{judge_load, no_recorded_answer_was_asked_for_again, takeovers};

const ROUNDS: usize = 4;
const PER_SECOND: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(2);
/// R3: 8 s of SIGTERM in a model call until another worker goes on.
const WITHIN: Duration = Duration::from_secs(8);

/// Starts another one, then ends this one: how long that takes.
async fn replace(report: &mut Report, stack: &Stack, service: Service, old: &mut Process) -> Duration {
    let mut leaving = std::mem::replace(old, stack.start(service).await);
    let begun = Instant::now();
    report.must(leaving.terminate().await, || format!("{} did not end well", service.program()));
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
    // Every tenth run is in the model's hands for longer than a worker is given.
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
        load.turn_to(&[&gateways[0], &gateways[1]]);
        report.must(leaving.terminate().await, || "a gateway did not end well".to_owned());
        slowest = slowest.max(replace(&mut report, &stack, Service::RunWorker, &mut workers[at]).await);
        replace(&mut report, &stack, Service::WebhookDispatcher, &mut dispatchers[at]).await;
        report.faults += 3;
    }
    report.notes.push(format!("slowest worker to stop: {slowest:.1?}"));
    judge_load(&mut report, &stack, load.stop().await, false).await;
    let losses = stack
        .text(
            "SELECT count(*)::text AS text FROM runs r JOIN run_events e ON e.run_id = r.id \
                             WHERE e.data ->> 'losses' <> '0'",
        )
        .await;
    report.must(losses == "0", || format!("{losses} planned releases were counted as losses"));
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
    report.must(told.len() == report.accepted, || format!("{} runs were told of by webhook", told.len()));
    report.notes.push(format!("webhooks: {} received for {} runs", arrived.len(), report.accepted));
    report
}
