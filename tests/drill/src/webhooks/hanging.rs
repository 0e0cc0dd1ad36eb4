//! W4: receivers that hang beside a healthy one, with two dispatchers. First receivers of one user of which
//! nothing is known, then one receiver of each of ten users that answered last time.

use std::time::{Duration, Instant};

use e2e::{Account, Service, Stack};
use shared::ids::AppId;
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};

use crate::report::Report;
use crate::stage::Stage;

const WEBHOOKS: usize = 500;
const HANGING: usize = 10;
const WEBHOOKS_EACH: usize = 1000;
/// In flight at least, of ten lanes that worked before, when the neighbour is measured: three of each.
const MANY: usize = 30;
/// The most in flight then. Of the two dispatchers' permits, 64 each, about a fifth stays free for others.
const MOST: usize = 104;
/// Host names of one user.
const NAMES: usize = 1000;
/// How often the healthy receiver is measured alone and beside the hanging ones, whose circuits are not open.
const ROUNDS: usize = 3;
/// For the 95th percentile of a webhook.
const SLOWEST: Duration = Duration::from_secs(2);
const PART_OF_SOLO: f64 = 0.9;
/// Single webhooks for the latency, and the time between two.
const SINGLE: usize = 50;
const EVERY: Duration = Duration::from_millis(50);

/// Webhooks a second of a batch to the healthy receiver, from the moment when a tenth has arrived.
async fn rate(stack: &Stack, app: AppId, receiver: &WebhookReceiver) -> f64 {
    let before = receiver.count();
    stack.add_webhooks(app, &receiver.url(), 1, WEBHOOKS).await;
    let (first, all) = (before + WEBHOOKS / 10, before + WEBHOOKS);
    let (at_first, begun) = eventually("some arrive", async || {
        Some((receiver.count(), Instant::now())).filter(|(count, _)| *count >= first)
    })
    .await;
    eventually("all arrive", async || (receiver.count() >= all).then_some(())).await;
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let webhooks = (all - at_first) as f64;
    webhooks / begun.elapsed().as_secs_f64()
}

/// The 95th percentile of the time from the event to the answer, of single webhooks.
async fn latency(stack: &Stack, app: AppId, receiver: &WebhookReceiver) -> Duration {
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
    let seconds = stack.text(&sql).await.parse().unwrap_or(f64::INFINITY);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Closes the lanes of the receivers that hang, and waits until none of their requests is in flight. The new
/// number of failures keeps these requests from changing the lanes. A lane that was closed for longer than 15
/// minutes would count as open.
async fn pause(stack: &Stack) {
    let close = "UPDATE webhook_lanes SET failures = 99, closed_until = capi_now() + interval '14 min'
                 WHERE host ~ '^(hang|name|works)'";
    stack.database.run_sql(close).await;
    eventually("no request hangs", async || (in_flight(stack).await == 0).then_some(())).await;
}

async fn in_flight(stack: &Stack) -> usize {
    let leased = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE lease_owner IS NOT NULL";
    stack.text(leased).await.parse().unwrap_or(usize::MAX)
}

/// Opens the lanes of these hosts with this number of failures: null if nothing is known about them, 0 if
/// they answered last time. Waits until more than so many of their requests hang.
async fn resume(stack: &Stack, silent: &RawServer, (hosts, failures): (&str, &str), requests: usize) {
    let before = silent.connections();
    let open = format!(
        "UPDATE webhook_lanes SET closed_until = NULL, failures = {failures} WHERE host ~ '^({hosts})'"
    );
    stack.database.run_sql(open).await;
    eventually("requests hang", async || (silent.connections() > before + requests).then_some(())).await;
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("W4 receivers that hang", SLOWEST);
    let stack = stage.stack().await;
    let Account { app: neighbour, .. } = stack.account("neighbour@example.com", "big").await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatchers =
        [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await];
    // The owner of the receivers that hang has one that works too.
    for app in [neighbour, stack.app] {
        rate(&stack, app, &receiver).await;
    }
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    let hang = |name: &str| format!("http://{name}.localhost:{}/", silent.port());
    stack.add_webhooks(stack.app, &hang("hang*"), HANGING, HANGING * WEBHOOKS_EACH).await;
    stack.add_webhooks(stack.app, &hang("name*"), NAMES, NAMES).await;
    for number in 0..HANGING {
        let other = stack.account(&format!("works{number}@example.com"), "big").await;
        stack.add_webhooks(other.app, &hang(&format!("works{number}")), 1, WEBHOOKS_EACH).await;
    }
    let (mut solo, mut of_neighbour, mut of_owner) = (Vec::new(), Vec::new(), Vec::new());
    let mut beside_many = Vec::new();
    // In turn, because other work on the machine changes all rates.
    for _ in 0..ROUNDS {
        pause(&stack).await;
        solo.push(rate(&stack, neighbour, &receiver).await);
        resume(&stack, &silent, ("hang|name", "NULL"), HANGING).await;
        report.faults += 1;
        for (app, rates) in [(neighbour, &mut of_neighbour), (stack.app, &mut of_owner)] {
            rates.push(rate(&stack, app, &receiver).await);
            report.recoveries.push(latency(&stack, app, &receiver).await);
        }
        pause(&stack).await;
        resume(&stack, &silent, ("works", "0"), MANY).await;
        report.faults += 1;
        // The latency first: after 15 s the requests are over, and the lanes do not work any more.
        report.recoveries.push(latency(&stack, neighbour, &receiver).await);
        let held = in_flight(&stack).await;
        report.must((MANY..=MOST).contains(&held), || format!("{held} requests of ten users hang"));
        beside_many.push(rate(&stack, neighbour, &receiver).await);
    }
    let alone = median(solo);
    report.notes.push(format!("alone: {alone:.0}/s"));
    for (whose, rates) in [
        ("another user", of_neighbour),
        ("the same user", of_owner),
        ("ten users whose receivers worked", beside_many),
    ] {
        let beside = median(rates);
        let part = beside / alone;
        report.notes.push(format!("{whose}: {beside:.0}/s, {:.0} %", part * 100.0));
        report.must(part >= PART_OF_SOLO, || format!("{whose}: {beside:.0}/s beside {alone:.0}/s alone"));
    }
    report
}
