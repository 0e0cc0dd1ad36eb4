//! P3: whole runs with an instant model, from the create to the delivered webhook.
//! P4: many runs in flight in one worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::{WebhookReceiver, eventually};

use crate::costs::Meter;
use crate::creates::{ACCOUNTS, requests};
use crate::http::Connection;
use crate::line;
use crate::processes::memory_mb;

const CONNECTIONS: usize = 16;
/// Whether something is still open. A count would read all rows each time, beside what is measured.
const OPEN: &str = "SELECT EXISTS (SELECT FROM runs WHERE status IN ('pending', 'running'))::text AS text";
const UNDELIVERED: &str =
    "SELECT EXISTS (SELECT FROM webhook_deliveries WHERE status <> 'delivered')::text AS text";

/// Sends `count` of these creates, one after the other over each of several connections.
pub(crate) async fn send(requests: Vec<Vec<u8>>, gateway: &Process, count: usize) -> anyhow::Result<()> {
    let requests = Arc::new(requests);
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (requests, address) = (Arc::clone(&requests), address.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(&address).await?;
                for at in (number..count).step_by(CONNECTIONS) {
                    let status = connection.send(&requests[at % ACCOUNTS]).await?;
                    anyhow::ensure!(status == 202, "the gateway answered {status}");
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// The longest wait of one measurement.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Waits until this statement says `false`.
async fn wait_while(stack: &Stack, sql: &str, what: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while stack.text(sql).await != "false" {
        anyhow::ensure!(Instant::now() < deadline, "not reached within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until no run is open.
pub(crate) async fn wait_until_over(stack: &Stack) -> anyhow::Result<()> {
    wait_while(stack, OPEN, "all runs end").await
}

/// Waits until all webhooks are recorded.
pub(crate) async fn wait_until_delivered(stack: &Stack) -> anyhow::Result<()> {
    wait_while(stack, UNDELIVERED, "all webhooks are delivered").await
}

/// P3.
pub(crate) async fn whole(count: usize) -> anyhow::Result<()> {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "30");
    let receiver = WebhookReceiver::start([]).await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let fields = json!({"inputs": {"text": "hello"}, "webhookUrl": receiver.url()});
    let requests = requests(&stack, &fields).await?;
    let mut meter = Meter::begin(&stack).await?;
    for (name, service) in
        [("gateway", &gateway), ("run-worker", &worker), ("webhook-dispatcher", &dispatcher)]
    {
        meter.add(name, service).await;
    }
    let begun = Instant::now();
    send(requests, &gateway, count).await?;
    wait_until_over(&stack).await?;
    let over = begun.elapsed().as_secs_f64();
    wait_until_delivered(&stack).await?;
    let delivered = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
    let runs = count as f64;
    line("whole runs, instant model", &format!("{:.0}/s", runs / over), vec![]);
    line("the same with their webhooks delivered", &format!("{:.0}/s", runs / delivered), vec![]);
    meter.end(&stack, (count, "run"), vec![gateway, worker, dispatcher]).await
}

/// P4.
pub(crate) async fn in_flight(count: usize) -> anyhow::Result<()> {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "30");
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &count.to_string()).await;
    send(requests(&stack, &json!({"inputs": {"text": "HOLD"}})).await?, &gateway, count).await?;
    eventually("the model holds all requests", async || (stack.model.holding() >= count).then_some(())).await;
    let resident = memory_mb(&worker);
    let begun = Instant::now();
    stack.model.release();
    wait_until_over(&stack).await?;
    let took = begun.elapsed().as_secs_f64();
    let most = memory_mb(&worker).max(resident);
    line(&format!("{count} in flight in one worker"), &format!("{resident:.0} MB"), vec![]);
    line("all runs end after the answers", &format!("{took:.1} s, {most:.0} MB"), vec![]);
    let good = "SELECT count(*)::text AS text FROM runs WHERE status = 'completed' AND attempt = 1";
    anyhow::ensure!(
        stack.text(good).await == count.to_string(),
        "some runs did not complete in their first attempt"
    );
    Ok(())
}
