//! W1: `kill -9` of the dispatcher, again and again, over 2,000 webhooks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use shared::testing::{WebhookReceiver, eventually};

use crate::report::Report;
use crate::stage::Stage;

const WEBHOOKS: usize = 2000;
/// Enough lanes that a dead dispatcher's leases do not stop all of them.
const HOSTS: usize = 50;
/// Slow enough that requests are in flight at each kill.
const ANSWER_AFTER: Duration = Duration::from_millis(30);
/// A little more than the lease of a delivery. The drill sets the clock ahead instead of waiting.
const LEASE: Duration = Duration::from_secs(31);
/// From the start of the next dispatcher to its first webhook.
const WITHIN: Duration = Duration::from_secs(10);

const IN_FLIGHT: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE lease_owner IS NOT NULL";
const OPEN: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";

pub(crate) async fn drill(stage: &Stage, full: bool) -> Report {
    let mut report = Report::new("W1 kill -9 of the dispatcher", WITHIN);
    let stack = stage.stack().await;
    let receiver = WebhookReceiver::slow(ANSWER_AFTER).await;
    let url = receiver.url().replace("127.0.0.1", "r*.localhost");
    stack.add_webhooks(stack.app, &url, HOSTS, WEBHOOKS).await;
    let kills = if full { 50 } else { 12 };
    let (mut doubled_at_most, mut dispatcher) = (0, stack.start(Service::WebhookDispatcher).await);
    for number in 1..=kills {
        let goal = number * WEBHOOKS / (kills + 2);
        eventually("webhooks arrive", async || (receiver.count() >= goal).then_some(())).await;
        dispatcher.kill().await;
        report.faults += 1;
        doubled_at_most += count(&stack, IN_FLIGHT).await;
        let before = receiver.count();
        stack.database.set_clock_ahead(LEASE * u32::try_from(number).unwrap_or(u32::MAX)).await;
        let begun = Instant::now();
        dispatcher = stack.start(Service::WebhookDispatcher).await;
        eventually("it goes on", async || (receiver.count() > before).then_some(())).await;
        report.recoveries.push(begun.elapsed());
    }
    eventually("all are delivered", async || (count(&stack, OPEN).await == 0).then_some(())).await;
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for request in receiver.received() {
        *by_id.entry(request.headers["webhook-id"].clone()).or_default() += 1;
    }
    let doubled: usize = by_id.values().map(|times| times - 1).sum();
    report.must(by_id.len() == WEBHOOKS, || format!("{} of {WEBHOOKS} ids arrived", by_id.len()));
    report.must(doubled <= doubled_at_most, || {
        format!("{doubled} arrived again, and {doubled_at_most} were in flight at the kills")
    });
    report.notes.push(format!("{doubled} of {WEBHOOKS} arrived again, {doubled_at_most} in flight at kills"));
    report
}

async fn count(stack: &Stack, sql: &'static str) -> usize {
    stack.text(sql).await.parse().unwrap_or(usize::MAX)
}
