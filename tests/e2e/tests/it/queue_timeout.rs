//! A run that nobody starts does not wait for ever.

use std::collections::HashSet;

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
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}, "queueTimeoutSeconds": 3, "webhookUrl": receiver.url()});
    let mut last = String::new();
    for _ in 0..RUNS {
        last = stack.post(&gateway, "/api/v1/runs", &body).await.body["id"].as_str().unwrap().to_owned();
    }
    let patient = stack.create_run(&gateway, "x", None).await;
    let run = stack.ended(&gateway, &last).await;
    assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &"queue_timeout".into()), "{run}");
    assert_eq!((&run["startedAt"], &run["error"]["retryable"]), (&json!(null), &true.into()));
    assert_eq!(run["error"]["eventSeq"], 2, "{run}");
    let late = "SELECT count(*) FILTER (WHERE completed_at - created_at NOT BETWEEN '3 s' AND '8 s')::text AS text FROM runs WHERE status = 'failed'";
    assert_eq!(stack.text(late).await, "0");
    let told = eventually("all webhooks", async || {
        let told: HashSet<_> =
            receiver.received().iter().map(|one| one.json()["data"]["id"].to_string()).collect();
        (told.len() >= RUNS).then_some(told)
    })
    .await;
    assert_eq!(told.len(), RUNS);
    let patient = stack.get(&gateway, &format!("/api/v1/runs/{patient}")).await.body;
    assert_eq!(patient["status"], "pending", "the others wait on");
}
