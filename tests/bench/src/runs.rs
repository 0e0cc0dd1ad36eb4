//! P3: whole runs with an instant model, from the create to the delivered webhook.
//! P4: many runs in flight in one worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use serde_json::{Value, json};
use shared::testing::{WebhookReceiver, eventually};

use crate::creates::{ACCOUNTS, requests};
use crate::http::Connection;
use crate::line;
use crate::processes::cpu_ms;

const CONNECTIONS: usize = 16;
const CALLS: &str = "capi_database_calls_total";
const PENDING: &str = "SELECT count(*)::text AS text FROM runs WHERE status IN ('pending', 'running')";
const UNDELIVERED: &str = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";

/// Creates `count` runs with these fields, spread over all accounts.
async fn create(stack: &Stack, gateway: &Process, count: usize, fields: &Value) -> anyhow::Result<()> {
    let requests = Arc::new(requests(stack, fields).await?);
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

async fn wait_for_none(stack: &Stack, what: &str, sql: &'static str) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while stack.text(sql).await != "0" {
        anyhow::ensure!(Instant::now() < deadline, "not reached within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// P3.
pub(crate) async fn whole(count: usize) -> anyhow::Result<()> {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "30");
    let receiver = WebhookReceiver::start([]).await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "64").await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let services = [&gateway, &worker, &dispatcher];
    let before: Vec<_> = services.iter().map(|process| cpu_ms(process)).collect();
    let mut calls = Vec::new();
    for process in services {
        calls.push(process.counter(CALLS).await);
    }
    let begun = Instant::now();
    create(&stack, &gateway, count, &json!({"inputs": {"text": "hello"}, "webhookUrl": receiver.url()}))
        .await?;
    wait_for_none(&stack, "all runs end", PENDING).await?;
    let over = begun.elapsed().as_secs_f64();
    wait_for_none(&stack, "all webhooks are delivered", UNDELIVERED).await?;
    let delivered = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
    let runs = count as f64;
    line("whole runs, instant model", &format!("{:.0}/s", runs / over), vec![]);
    line("the same with their webhooks delivered", &format!("{:.0}/s", runs / delivered), vec![]);
    let mut sum = 0.0;
    for ((process, name), (before, calls)) in
        services.iter().zip(["gateway", "run-worker", "webhook-dispatcher"]).zip(before.iter().zip(calls))
    {
        let used = (cpu_ms(process) - before) / runs;
        sum += used;
        let calls = (process.counter(CALLS).await - calls) / runs;
        line(&format!("per run, {name}"), &format!("{used:.2} ms CPU"), vec![]);
        line(&format!("per run, {name}: database calls"), &format!("{calls:.2}"), vec![]);
    }
    line("per run, all three", &format!("{sum:.2} ms CPU"), vec![]);
    Ok(())
}

/// P4.
pub(crate) async fn in_flight(count: usize) -> anyhow::Result<()> {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "30");
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &count.to_string()).await;
    create(&stack, &gateway, count, &json!({"inputs": {"text": "HOLD"}})).await?;
    eventually("the model holds all requests", async || (stack.model.holding() >= count).then_some(())).await;
    let resident = worker.resident_mb();
    let begun = Instant::now();
    stack.model.release();
    wait_for_none(&stack, "all runs end", PENDING).await?;
    let took = begun.elapsed().as_secs_f64();
    let most = worker.resident_mb().max(resident);
    line(&format!("{count} in flight in one worker"), &format!("{resident} MB"), vec![]);
    line("all runs end after the answers", &format!("{took:.1} s, {most} MB"), vec![]);
    let good = "SELECT count(*)::text AS text FROM runs WHERE status = 'completed' AND attempt = 1";
    anyhow::ensure!(
        stack.text(good).await == count.to_string(),
        "some runs did not complete in their first attempt"
    );
    Ok(())
}
