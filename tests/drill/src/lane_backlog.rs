//! A lane with 50,000 due webhooks: a webhook of it costs no more than one of a short lane, and webhooks of
//! other lanes are sent at once.

use std::time::{Duration, Instant};

use e2e::{Account, Process, Service, Stack};
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
/// Longer than an idle connection keeps its counters to itself.
const COUNTERS_ARE_OLD: Duration = Duration::from_secs(11);

const PAGES: &str =
    "SELECT (blks_hit + blks_read)::text AS text FROM pg_stat_database WHERE datname = current_database()";
const CONNECTED: &str = "SELECT count(*)::text AS text FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'capi-webhook-dispatcher'";
const OPEN: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("a lane of 50,000 webhooks", SERVED_WITHIN);
    let stack = stage.stack().await;
    let Account { app: neighbour, .. } = stack.account("neighbour@example.com", "big").await;
    let receiver = WebhookReceiver::slow(ANSWER_AFTER).await;
    stack.add_webhooks(stack.app, &receiver.url(), 1, FEW).await;
    let few = pages_of_a_delivery(&mut report, &stack, &receiver).await;
    stack.add_webhooks(stack.app, &receiver.url(), 1, BACKLOG).await;
    report.faults += 1;
    let many = pages_of_a_delivery(&mut report, &stack, &receiver).await;
    report.notes.push(format!("pages of a delivery: {few:.0} in a short lane, {many:.0} in the long one"));
    report.must(many < few * MOST, || format!("{many:.0} pages beside the backlog, {few:.0} without"));

    let _dispatchers = dispatchers(&stack).await;
    let prompt = WebhookReceiver::start([]).await;
    for number in 0..NEW_LANES {
        let app = if number.is_multiple_of(2) { stack.app } else { neighbour };
        let url = prompt.url().replace("127.0.0.1", &format!("new{number}.localhost"));
        let begun = Instant::now();
        stack.add_webhooks(app, &url, 1, 1).await;
        eventually("the webhook arrives", async || (prompt.count() > number).then_some(())).await;
        report.recoveries.push(begun.elapsed());
    }
    let open: usize = stack.text(OPEN).await.parse().unwrap_or_default();
    report.notes.push(format!("{open} webhooks were still waiting at the end"));
    report.must(open > BACKLOG / 2, || format!("only {open} webhooks were waiting: the drill shows little"));
    report
}

async fn dispatchers(stack: &Stack) -> [Process; 2] {
    [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await]
}

/// Returns the pages that PostgreSQL reads for a delivery, from its cache or not. Two dispatchers start, send
/// some webhooks and stop: the end of a connection adds its counters to those of the server.
async fn pages_of_a_delivery(report: &mut Report, stack: &Stack, receiver: &WebhookReceiver) -> f64 {
    stack.without_autovacuum().await;
    tokio::time::sleep(COUNTERS_ARE_OLD).await;
    let (from, before) = (receiver.count(), pages(stack).await);
    let sending = dispatchers(stack).await;
    eventually("webhooks arrive", async || (receiver.count() >= from + COUNTED).then_some(())).await;
    for mut dispatcher in sending {
        report.must(dispatcher.terminate().await, || "a dispatcher did not stop cleanly".to_owned());
    }
    eventually("they are disconnected", async || (stack.text(CONNECTED).await == "0").then_some(())).await;
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let deliveries = (receiver.count() - from) as f64;
    (pages(stack).await - before) / deliveries
}

async fn pages(stack: &Stack) -> f64 {
    stack.text(PAGES).await.parse().unwrap_or_default()
}
