//! W4: receivers that hang beside a healthy one, with two dispatchers.

use std::time::{Duration, Instant};

use e2e::{Account, Service, Stack};
use shared::ids::AppId;
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};

use crate::report::Report;
use crate::stage::Stage;

const WEBHOOKS: usize = 1500;
const HANGING: usize = 10;
const WEBHOOKS_EACH: usize = 1000;
/// Host names of one user.
const NAMES: usize = 1000;
/// How often the healthy receiver is measured beside the hanging ones. At first, no circuit is open yet.
const ROUNDS: usize = 3;
const SLOWEST: f64 = 2.0;
const PART_OF_SOLO: f64 = 0.9;
/// Single webhooks for the latency, and the time between two.
const SINGLE: usize = 100;
const EVERY: Duration = Duration::from_millis(50);

/// Webhooks a second of a batch to the healthy receiver.
async fn rate(stack: &Stack, app: AppId, receiver: &WebhookReceiver) -> f64 {
    let before = receiver.count();
    stack.add_webhooks(app, &receiver.url(), 1, WEBHOOKS).await;
    let begun = Instant::now();
    let all = before + WEBHOOKS;
    eventually("all arrive", async || (receiver.count() >= all).then_some(())).await;
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let webhooks = WEBHOOKS as f64;
    webhooks / begun.elapsed().as_secs_f64()
}

/// The 95th percentile of the seconds from the event to the answer, of single webhooks.
async fn latency(stack: &Stack, app: AppId, receiver: &WebhookReceiver) -> f64 {
    let (since, before) = (stack.text("SELECT capi_now()::text AS text").await, receiver.count());
    for _ in 0..SINGLE {
        stack.add_webhooks(app, &receiver.url(), 1, 1).await;
        tokio::time::sleep(EVERY).await;
    }
    let all = before + SINGLE;
    eventually("all arrive", async || (receiver.count() >= all).then_some(())).await;
    let sql = format!(
        "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY
             extract(epoch FROM a.at - d.created_at) + a.duration_ms / 1000.0)::text AS text
         FROM webhook_attempts a JOIN webhook_deliveries d ON d.id = a.delivery_id
         WHERE a.status_code = 204 AND d.created_at >= '{since}'"
    );
    stack.text(&sql).await.parse().unwrap_or(f64::INFINITY)
}

async fn median_rate(stack: &Stack, app: AppId, receiver: &WebhookReceiver) -> f64 {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(rate(stack, app, receiver).await);
    }
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("W4 receivers that hang", Duration::from_mins(1));
    let stack = stage.stack().await;
    let Account { app: neighbour, .. } = stack.account("neighbour@example.com", "big").await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatchers =
        [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await];
    rate(&stack, neighbour, &receiver).await;
    let solo = median_rate(&stack, neighbour, &receiver).await;
    let alone = latency(&stack, neighbour, &receiver).await;
    report.notes.push(format!("alone: {solo:.0}/s, p95 {:.0} ms", alone * 1000.0));

    // The owner of the receivers that hang has one that works too.
    let before = receiver.count();
    stack.add_webhooks(stack.app, &receiver.url(), 1, 1).await;
    eventually("it arrives", async || (receiver.count() > before).then_some(())).await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    let hang = |name: &str| format!("http://{name}.localhost:{}/", silent.port());
    stack.add_webhooks(stack.app, &hang("hang*"), HANGING, HANGING * WEBHOOKS_EACH).await;
    stack.add_webhooks(stack.app, &hang("name*"), NAMES, NAMES).await;
    eventually("requests hang", async || (silent.connections() > HANGING).then_some(())).await;
    report.faults += 1;
    for when in ["at once", "after a while"] {
        for (whose, app) in [("another user", neighbour), ("the same user", stack.app)] {
            let begun = Instant::now();
            let (slowest, beside) =
                (latency(&stack, app, &receiver).await, median_rate(&stack, app, &receiver).await);
            report.recoveries.push(begun.elapsed());
            report.notes.push(format!(
                "{whose}, {when}: {beside:.0}/s ({:.0} % of solo), p95 {:.0} ms",
                beside / solo * 100.0,
                slowest * 1000.0
            ));
            report.must(slowest < SLOWEST, || format!("{whose}, {when}: p95 {slowest:.2} s"));
            report.must(beside >= solo * PART_OF_SOLO, || format!("{whose}, {when}: {beside:.0}/s"));
        }
    }
    let closed = "SELECT count(*)::text AS text FROM webhook_lanes WHERE closed_until IS NOT NULL";
    report.notes.push(format!("{} circuits are open at the end", stack.text(closed).await));
    report
}
