//! A lane with 50,000 due webhooks: a webhook of it costs no more than one of a short lane, and webhooks of
//! other lanes are sent at once.

use std::time::{Duration, Instant};

use e2e::{Account, Service, Stack};
use shared::ids::AppId;
use shared::testing::{WebhookReceiver, eventually};

use crate::report::Report;
use crate::stage::Stage;

const BACKLOG: usize = 50_000;
/// Webhooks of the short lane.
const FEW: usize = 2000;
/// Deliveries over which pages are counted.
const COUNTED: usize = 1000;
/// So that the backlog lasts.
const ANSWER_AFTER: Duration = Duration::from_millis(10);
/// Lanes that appear beside the backlog, half of them of another user.
const NEW_LANES: usize = 20;
const SERVED_WITHIN: Duration = Duration::from_secs(1);
/// Pages of a delivery beside the backlog, of those without.
const MOST: f64 = 1.5;
/// The gateway's connections and the sweepers read some pages too.
const SLACK: f64 = 20.0;

const PAGES: &str =
    "SELECT (blks_hit + blks_read)::text AS text FROM pg_stat_database WHERE datname = current_database()";

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("a lane of 50,000 webhooks", SERVED_WITHIN);
    let stack = stage.stack().await;
    let Account { app: neighbour, .. } = stack.account("neighbour@example.com", "big").await;
    let receiver = WebhookReceiver::slow(ANSWER_AFTER).await;
    let url = |name: &str| receiver.url().replace("127.0.0.1", &format!("{name}.localhost"));
    let dispatchers =
        [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await];
    let long = url("long");
    stack.add_webhooks(stack.app, &long, 1, FEW).await;
    let few = pages_of_a_delivery(&stack, &receiver, FEW / 4).await;
    eventually("the short lane is empty", async || (receiver.count() >= FEW).then_some(())).await;
    stack.add_webhooks(stack.app, &long, 1, BACKLOG).await;
    report.faults += 1;
    let so_far = receiver.count();
    let many = pages_of_a_delivery(&stack, &receiver, so_far + COUNTED / 4).await;
    report.notes.push(format!("pages of a delivery: {few:.0} in a short lane, {many:.0} in the long one"));
    report
        .must(many < few * MOST + SLACK, || format!("{many:.0} pages beside the backlog, {few:.0} without"));
    for number in 0..NEW_LANES {
        let app = if number % 2 == 0 { stack.app } else { neighbour };
        report.recoveries.push(served(&stack, app, (&receiver, &url(&format!("new{number}")))).await);
    }
    let open = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";
    let open: usize = stack.text(open).await.parse().unwrap_or_default();
    report.notes.push(format!("{open} webhooks were still waiting at the end"));
    report.must(open > BACKLOG / 2, || format!("only {open} webhooks were waiting: the drill shows little"));
    drop(dispatchers);
    report
}

/// Pages of the database that were read or hit for each of the next deliveries, from the moment when `begin`
/// have arrived.
async fn pages_of_a_delivery(stack: &Stack, receiver: &WebhookReceiver, begin: usize) -> f64 {
    eventually("deliveries begin", async || (receiver.count() >= begin).then_some(())).await;
    let (from, before) = (receiver.count(), pages(stack).await);
    eventually("deliveries go on", async || (receiver.count() >= from + COUNTED).then_some(())).await;
    let (to, after) = (receiver.count(), pages(stack).await);
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let deliveries = (to - from) as f64;
    (after - before) / deliveries
}

async fn pages(stack: &Stack) -> f64 {
    stack.text(PAGES).await.parse().unwrap_or_default()
}

/// Adds one webhook of a new lane. Returns how long it takes to arrive.
async fn served(stack: &Stack, app: AppId, (receiver, url): (&WebhookReceiver, &str)) -> Duration {
    let host = url.split('/').nth(2).unwrap_or_default().to_owned();
    let begun = Instant::now();
    stack.add_webhooks(app, url, 1, 1).await;
    eventually("the webhook of the new lane arrives", async || {
        let received = receiver.received();
        received.iter().rev().any(|webhook| webhook.headers.get("host") == Some(&host)).then_some(())
    })
    .await;
    begun.elapsed()
}
