//! A create that is sent again is the same run (R14).

use e2e::{Answer, Process, Service, Stack};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::testing::eventually;

const REPLAYED: &str = "idempotency-replayed";

async fn create(stack: &Stack, gateway: &Process, path: &str, key: &str, body: &Value) -> Answer {
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
    stack.send(request.header("Idempotency-Key", key).json(body)).await
}

async fn runs(stack: &Stack) -> String {
    stack.text("SELECT count(*)::text AS text FROM runs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_the_same_create_a_hundred_times_over_three_gateways_is_one_run() {
    let stack = Stack::unlimited().await;
    let gateways = join_all((0..3).map(|_| stack.start(Service::Gateway))).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}, "metadata": {"a": "1", "b": "2"}});
    let create_at_last = async |n: usize| {
        eventually("it is accepted", async || {
            let answer = create(&stack, &gateways[n % 3], "/api/v1/runs", "order-1", &body).await;
            // A hundred at once may be more than a gateway's connections serve in a second: that is for the key to cure.
            (answer.status != 503).then_some(answer)
        })
        .await
    };
    let answers = join_all((0..100).map(create_at_last)).await;
    let first = answers.iter().filter(|answer| !answer.headers.contains_key(REPLAYED)).count();
    assert_eq!((first, runs(&stack).await.as_str()), (1, "1"));
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (202, &answers[0].body), "{answer:?}");
    }
    let events = "SELECT count(*)::text AS text FROM run_events";
    assert_eq!(stack.text(events).await, "1");

    let other = json!({"appId": stack.app, "inputs": {"text": "hello"}, "metadata": {"a": "1"}});
    let refused = create(&stack, &gateways[1], "/api/v1/runs", "order-1", &other).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &"idempotency_conflict".into()), "{refused:?}");
    assert_eq!(runs(&stack).await, "1");
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
    let second_key = stack.on_account(&["key", "create", "--name", "second"]).await;
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

    stack.database.run_sql("UPDATE idempotency_keys SET expires_at = capi_now()").await;
    let later = create(&stack, &gateway, path, "k", &right).await;
    assert!(later.status == 202 && later.body["id"] != id, "a day later it is a new run: {later:?}");
    let later = later.body["id"].as_str().unwrap();
    stack.ended(&gateway, later).await;
    let request = stack.client().delete(format!("{}{path}/{later}", gateway.url())).bearer_auth(&stack.key);
    assert_eq!(stack.send(request).await.status, 204);
    let after = create(&stack, &gateway, path, "k", &right).await;
    assert!(
        after.status == 202 && after.body["id"] != later,
        "a deleted run takes its key with it: {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_with_what_to_change() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    for key in ["", "two words", &"k".repeat(256)] {
        let refused = create(&stack, &gateway, "/api/v1/runs", key, &body).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["header"]),
            (400, &"Idempotency-Key".into()),
            "{refused:?}"
        );
        assert!(refused.body["detail"].as_str().unwrap().contains("255"), "{refused:?}");
    }
    assert_eq!(runs(&stack).await, "0");
}
