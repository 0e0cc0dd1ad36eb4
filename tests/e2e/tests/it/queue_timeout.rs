//! A run that no worker starts does not wait for ever.

use std::collections::HashSet;
use std::time::Duration;

use e2e::{Service, Stack};
use serde_json::json;
use shared::testing::{WebhookReceiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_every_run_fails_in_time_with_its_webhook() {
    const RUNS: usize = 250;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _second = stack.start(Service::Gateway).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    let body = json!({
        "appId": stack.app, "inputs": {"text": "x"}, "queueTimeoutSeconds": 3600,
        "webhookUrl": receiver.url(),
    });
    let mut last = String::new();
    for _ in 0..RUNS {
        last = stack.create_run_of(&gateway, &body).await;
    }
    let later = stack.create_run(&gateway, "x", None).await;
    assert_eq!(stack.get(&gateway, &format!("/api/v1/runs/{last}")).await.body["status"], "pending");
    stack.database.set_clock_ahead(Duration::from_secs(3601)).await;
    let run = stack.ended(&gateway, &last).await;
    assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &"queue_timeout".into()), "{run}");
    assert_eq!((&run["startedAt"], &run["error"]["retryable"]), (&json!(null), &true.into()));
    assert_eq!(run["error"]["eventSeq"], 2, "{run}");
    let early = "SELECT count(*)::text AS text FROM runs
                 WHERE status = 'failed' AND completed_at - created_at < '3600 s'";
    assert_eq!(stack.text(early).await, "0");
    let told = eventually("all webhooks", async || {
        let told: HashSet<_> =
            receiver.received().iter().map(|one| one.json()["data"]["id"].to_string()).collect();
        (told.len() >= RUNS).then_some(told)
    })
    .await;
    assert_eq!(told.len(), RUNS);
    let later = stack.get(&gateway, &format!("/api/v1/runs/{later}")).await.body;
    assert_eq!(later["status"], "pending", "a run with a longer timeout stays pending");
}
