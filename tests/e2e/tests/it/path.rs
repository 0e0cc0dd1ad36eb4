//! The whole path: key → run → queue → worker → model → result → webhook.

use std::collections::HashSet;

use e2e::{Service, Stack};
use shared::testing::{WebhookReceiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reaches_its_result_and_a_verified_webhook() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;

    let id = stack.create_run(&gateway, "Hello  there", Some(&receiver.url())).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["result"]["text"], "You said: Hello  there");
    assert_eq!(
        (&run["title"], &run["attempt"], &run["source"]),
        (&"Hello there".into(), &1.into(), &"api".into())
    );
    assert_eq!(run["usage"]["outputTokens"], 7);
    assert_eq!(
        (&run["pending"], &run["errorCode"], &run["apiKey"]["name"]),
        (&serde_json::Value::Null, &serde_json::Value::Null, &"test".into())
    );

    let sent = eventually("the webhook", async || receiver.received().pop()).await;
    let secret = stack.webhook_secret().await;
    let official = standardwebhooks::Webhook::new(&secret).unwrap();
    let (webhook_id, time) = (&sent.headers["webhook-id"], &sent.headers["webhook-timestamp"]);
    let expected = official.sign(webhook_id, time.parse().unwrap(), &sent.body).unwrap();
    assert_eq!(sent.headers["webhook-signature"], expected);
    let body = sent.json();
    assert_eq!((&body["type"], &body["data"]["id"]), (&"run.completed".into(), &id.as_str().into()));
    assert_eq!(body["data"]["result"], run["result"]);
    assert!(body["data"].get("webhook").is_none());

    let delivered = eventually("the delivery is recorded", async || {
        let run = stack.get(&gateway, &format!("/api/v1/runs/{id}")).await.body;
        (run["webhook"]["status"] == "delivered").then_some(run)
    })
    .await;
    assert_eq!(delivered["webhook"]["deliveryId"], *webhook_id);

    let events = stack.texts("SELECT seq || ' ' || type AS text FROM run_events ORDER BY seq").await;
    assert_eq!(events, ["1 run.created", "2 run.started", "3 message", "4 message", "5 run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work() {
    const RUNS: usize = 60;
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let few = |()| stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "4");
    let workers = [few(()).await, few(()).await];
    let dispatchers =
        [stack.start(Service::WebhookDispatcher).await, stack.start(Service::WebhookDispatcher).await];
    let receiver = WebhookReceiver::start([]).await;

    let mut ids = Vec::new();
    for number in 0..RUNS {
        ids.push(
            stack.create_run(&gateways[number % 2], &format!("run {number}"), Some(&receiver.url())).await,
        );
    }
    for (number, id) in ids.iter().enumerate() {
        let run = stack.ended(&gateways[(number + 1) % 2], id).await;
        assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &1.into()), "{run}");
    }
    let webhooks =
        eventually("all webhooks", async || Some(receiver.received()).filter(|all| all.len() >= RUNS)).await;
    let told: HashSet<_> =
        webhooks.iter().map(|one| one.json()["data"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told.len(), RUNS, "each run is told");
    eventually("all deliveries are recorded", async || {
        let open = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status <> 'delivered'";
        (stack.text(open).await == "0").then_some(())
    })
    .await;
    assert_eq!(receiver.received().len(), RUNS, "each run is told once");
    assert_eq!(stack.model.asked().len(), RUNS, "each run is executed once");
    for worker in &workers {
        assert!(worker.counter("capi_runs_ended_total").await > 0.0, "each worker takes part");
    }
    for dispatcher in &dispatchers {
        assert!(dispatcher.counter("capi_webhook_attempts_total").await > 0.0, "each dispatcher takes part");
    }
}
