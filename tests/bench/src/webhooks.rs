//! P10: webhooks to one healthy receiver.

use std::time::{Duration, Instant};

use e2e::{Service, Stack};
use shared::testing::WebhookReceiver;

use crate::costs::Meter;
use crate::line;

const TIMEOUT: Duration = Duration::from_mins(3);
const OPEN: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";

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
    let mut meter = Meter::begin(&stack).await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    meter.add("webhook-dispatcher", &dispatcher).await;
    let begun = reached(&receiver, count / 10).await?;
    let took = reached(&receiver, count).await?.duration_since(begun).as_secs_f64();
    while stack.text(OPEN).await != "0" {
        anyhow::ensure!(begun.elapsed() < TIMEOUT, "some webhooks are not recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of webhooks")]
    let timed = (count - count / 10) as f64;
    line("webhooks to one receiver (P10: ≥ 1,500/s)", &format!("{:.0}/s", timed / took), vec![]);
    meter.end(&stack, (count, "webhook"), vec![dispatcher]).await
}
