//! A create that is sent again is the same run (R14).

use e2e::{Answer, Gateway, Stack, patiently};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::TestApp;

const REPLAYED: &str = "idempotency-replayed";

async fn create(stack: &Stack, gateway: &TestApp, path: &str, key: &str, body: &Value) -> Answer {
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
    stack.send(request.header("Idempotency-Key", key).json(body)).await
}

async fn runs(stack: &Stack) -> String {
    stack.text("SELECT count(*)::text AS text FROM runs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_the_same_create_a_hundred_times_over_three_gateways_is_one_run() {
    let stack = Stack::unlimited().await;
    let gateways = join_all((0..3).map(|_| TestApp::start(&stack))).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}, "metadata": {"a": "1", "b": "2"}});
    let create_at_last = async |n: usize| {
        // A hundred at once may be more than a gateway's connections serve in a second. The key makes a retry
        // safe.
        patiently(async || create(&stack, &gateways[n % 3], "/api/v1/runs", "order-1", &body).await).await
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
async fn the_create_of_a_deleted_run_is_not_executed_again() {
    let stack = Stack::unlimited().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await];
    let path = "/api/v1/runs";
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    let first = create(&stack, &gateways[0], path, "once", &body).await;
    let run = format!("{path}/{}", first.body["id"].as_str().unwrap());
    stack.cancel_run(&gateways[0], first.body["id"].as_str().unwrap()).await;
    let delete = stack.client().delete(format!("{}{run}", gateways[0].url())).bearer_auth(&stack.key);
    assert_eq!(stack.send(delete).await.status, 204);
    for gateway in &gateways {
        let again = create(&stack, gateway, path, "once", &body).await;
        assert_eq!((again.status, &again.body["code"]), (409, &"run_deleted".into()), "{again:?}");
    }
    let other = json!({"appId": stack.app, "inputs": {"text": "other"}});
    let other = create(&stack, &gateways[1], path, "once", &other).await;
    assert_eq!(other.body["code"], "idempotency_conflict", "{other:?}");
    assert_eq!(runs(&stack).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_with_what_to_change() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
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
