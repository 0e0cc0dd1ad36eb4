//! P10: webhooks to one healthy receiver.

use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use shared::testing::WebhookReceiver;

use crate::costs::Meter;
use crate::line;
use crate::runs::wait_until_delivered;

const TIMEOUT: Duration = Duration::from_mins(3);
/// A closed lane sends nothing until it is opened. Nothing is known about its host. A lane that was closed
/// for longer than 15 minutes would count as open.
const CLOSE: &str = "UPDATE webhook_lanes SET closed_until = capi_now() + interval '14 min'";
const OPEN: &str = "UPDATE webhook_lanes SET closed_until = NULL";

async fn reached(receiver: &WebhookReceiver, count: usize) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + TIMEOUT;
    while receiver.count() < count {
        anyhow::ensure!(Instant::now() < deadline, "{} of {count} webhooks arrived", receiver.count());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(Instant::now())
}

/// The rate counts from the moment when a tenth has arrived.
pub(crate) async fn measure(count: usize) -> anyhow::Result<()> {
    let stack = Stack::unlimited().await;
    let receiver = WebhookReceiver::start([]).await;
    stack.add_webhooks(stack.app, &receiver.url(), 1, count).await;
    // The dispatcher must not send before its part is measured.
    stack.database.run_sql(CLOSE).await;
    let mut meter = Meter::begin(&stack).await?;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    meter.add("webhook-dispatcher", &dispatcher).await;
    anyhow::ensure!(receiver.count() == 0, "a closed lane was sent");
    // The next sweep finds them.
    stack.database.run_sql(OPEN).await;
    let begun = reached(&receiver, count / 10).await?;
    let took = reached(&receiver, count).await?.duration_since(begun).as_secs_f64();
    wait_until_delivered(&stack).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let timed = (count - count / 10) as f64;
    line("webhooks to one receiver (P10: ≥ 1,500/s)", &format!("{:.0}/s", timed / took), vec![]);
    meter.end(&stack, (count, "webhook"), vec![dispatcher]).await
}
