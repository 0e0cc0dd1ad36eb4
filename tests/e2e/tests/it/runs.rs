//! Cancelled and deleted runs, with their webhooks.

use bytes::Bytes;
use e2e::{Service, Stack, patiently};
use serde_json::{Value, json};
use shared::ids::ArtifactId;
use shared::storage::ObjectKey;
use shared::testing::{WebhookReceiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_final_and_sends_its_webhook() {
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    let pending = stack.create_run(&gateways[0], "never", Some(&receiver.url())).await;
    let cancel = async |id: &str| {
        let path = format!("/api/v1/apps/{}/runs/{id}/cancel", stack.app);
        patiently(async || stack.post(&gateways[1], &path, &json!({})).await).await
    };
    for _ in 0..2 {
        let answer = cancel(&pending).await;
        assert_eq!((answer.status, answer.body), (200, json!({"success": true})));
    }
    let run = stack.get(&gateways[0], &format!("/api/v1/runs/{pending}")).await.body;
    assert_eq!((&run["status"], run["completedAt"].is_string()), (&"cancelled".into(), true), "{run}");
    let told = eventually("the webhook", async || receiver.received().pop()).await.json();
    assert_eq!((&told["type"], &told["data"]["status"]), (&"run.cancelled".into(), &"cancelled".into()));

    // In the middle of a model call: what the worker says later changes nothing.
    let worker = stack.start(Service::RunWorker).await;
    let running = stack.create_run(&gateways[0], "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    assert_eq!(cancel(&running).await.status, 200);
    stack.model.release();
    let other = stack.create_run(&gateways[0], "hello", None).await;
    stack.ended(&gateways[0], &other).await;
    eventually("the worker releases the run", async || {
        (worker.counter("capi_stale_writes_total").await > 0.0 || stack.model.holding() == 0).then_some(())
    })
    .await;
    let run = stack.get(&gateways[0], &format!("/api/v1/runs/{running}")).await.body;
    assert_eq!((&run["status"], &run["result"]), (&"cancelled".into(), &Value::Null), "{run}");
    let late = cancel(&other).await;
    assert_eq!((late.status, &late.body["code"]), (409, &"run_already_finished".into()));
    let last =
        "SELECT string_agg(type, ' ' ORDER BY seq) AS text FROM run_events GROUP BY run_id ORDER BY run_id";
    for log in stack.texts(last).await {
        assert_eq!(log.matches("run.c").count(), 2, "one start and one end: {log}");
        assert!(log.ends_with("run.cancelled") || log.ends_with("run.completed"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_run_leaves_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let receiver = WebhookReceiver::start([500]).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let body = json!({
        "appId": stack.app, "inputs": {"text": "x"}, "metadata": {"a": "b"}, "webhookUrl": receiver.url(),
    });
    let id = stack.create_run_of(&gateway, &body).await;
    let path = format!("/api/v1/runs/{id}");
    let delete =
        || stack.send(stack.client().delete(format!("{}{path}", gateway.url())).bearer_auth(&stack.key));
    let early = delete().await;
    assert_eq!((early.status, &early.body["code"]), (409, &"run_not_finished".into()));
    let artifact = ArtifactId::generate();
    stack.add_artifact(id.parse().unwrap(), artifact, "text/plain", "a", Bytes::from("a")).await;
    stack.cancel_run(&gateway, &id).await;
    eventually("a try is recorded", async || {
        (stack.text("SELECT count(*)::text AS text FROM webhook_attempts").await != "0").then_some(())
    })
    .await;
    let gone = delete().await;
    assert_eq!((gone.status, gone.body), (204, Value::Null));
    assert_eq!((delete().await.status, stack.get(&gateway, &path).await.status), (404, 404));
    let left = "SELECT ((SELECT count(*) FROM runs) + (SELECT count(*) FROM run_events) + (SELECT count(*) \
                FROM artifacts)
        + (SELECT count(*) FROM run_metadata) + (SELECT count(*) FROM webhook_deliveries) + (SELECT \
        count(*) FROM webhook_attempts))::text AS text";
    assert_eq!(stack.text(left).await, "0");
    let stored = stack.artifacts().get(&ObjectKey::artifact(id.parse().unwrap(), artifact), 0..1).await;
    assert!(stored.is_err_and(|error| error.is_missing()));
}
