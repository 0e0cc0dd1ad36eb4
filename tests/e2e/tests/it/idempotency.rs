//! A create that is sent again is the same run (R14).

use std::time::Duration;

use e2e::{Answer, Process, Service, Stack};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);
const REPLAYED: &str = "idempotency-replayed";

async fn create(stack: &Stack, gateway: &Process, path: &str, key: &str, body: &Value) -> Answer {
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
    stack.send(request.header("Idempotency-Key", key).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_for_a_day_with_its_path_and_for_accepted_creates_only() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let path = "/api/v1/runs";
    let wrong = json!({"appId": stack.app, "inputs": {"text": 1}});
    let right = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    assert_eq!(create(&stack, &gateway, path, "k", &wrong).await.status, 400);
    let first = create(&stack, &gateway, path, "k", &right).await;
    assert_eq!(first.status, 202, "what was refused took no key: {first:?}");
    let id = first.body["id"].as_str().unwrap();

    // Written differently and quoted, with another key of the account, it is the same create.
    let spelt =
        format!(r#"{{"metadata": {{}}, "inputs": {{"text": "h\u0065llo"}}, "appId": "{}"}}"#, stack.app);
    let second_key = stack.create_key("second").await;
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(second_key);
    let request = request.header("idempotency-key", "\"k\"").header("content-type", "application/json");
    let again = stack.send(request.body(spelt)).await;
    assert_eq!(
        (again.status, &again.body, &again.headers[REPLAYED]),
        (202, &first.body, &"true".parse().unwrap())
    );

    // It tells how the run stands, and waits as the first would have.
    let _worker = stack.start(Service::RunWorker).await;
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
    let waited =
        stack.send(request.header("idempotency-key", "k").header("prefer", "wait=30").json(&right)).await;
    assert_eq!((waited.status, &waited.body["status"]), (200, &"completed".into()), "{waited:?}");
    assert!(waited.headers.contains_key(REPLAYED));
    let told = create(&stack, &gateway, path, "k", &right).await;
    assert_eq!((told.status, &told.body["status"]), (202, &"completed".into()), "{told:?}");

    let in_app = create(&stack, &gateway, &format!("/api/v1/apps/{}/runs", stack.app), "k", &right).await;
    assert_ne!(in_app.body["id"], id, "another path");
    let hers = stack.account("eve@example.com", "big").await;
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&hers.key);
    let hers = stack
        .send(
            request
                .header("idempotency-key", "k")
                .json(&json!({"appId": hers.app, "inputs": {"text": "hello"}})),
        )
        .await;
    assert_eq!(hers.status, 202, "another account: {hers:?}");
    assert!(!hers.headers.contains_key(REPLAYED));

    stack.database.set_clock_ahead(DAY).await;
    let later = create(&stack, &gateway, path, "k", &right).await;
    assert!(later.status == 202 && later.body["id"] != id, "a day later it is a new run: {later:?}");
    let later = later.body["id"].as_str().unwrap();
    stack.ended(&gateway, later).await;
    let request = stack.client().delete(format!("{}{path}/{later}", gateway.url())).bearer_auth(&stack.key);
    assert_eq!(stack.send(request).await.status, 204);
    let after = create(&stack, &gateway, path, "k", &right).await;
    assert_eq!((after.status, &after.body["code"]), (409, &"run_deleted".into()), "not again: {after:?}");
    let other = json!({"appId": stack.app, "inputs": {"text": "other"}});
    let other = create(&stack, &gateway, path, "k", &other).await;
    assert_eq!(other.body["code"], "idempotency_conflict");
    stack.database.set_clock_ahead(2 * DAY).await;
    assert_eq!(create(&stack, &gateway, path, "k", &right).await.status, 202, "the key has expired");
}
