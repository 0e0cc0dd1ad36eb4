//! Requests that are held until a run is over.

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::testing::{WAIT_LIMIT, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_with_the_run_whatever_the_broker_does() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.broker_proxy().await;
    let gateway = Process::start(Service::Gateway, &settings).await;
    let _worker = stack.start(Service::RunWorker).await;

    let id = stack.create_run(&gateway, "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    let url = format!("/api/v1/runs/{id}");
    let short = stack.get(&gateway, &format!("{url}?wait=1")).await;
    assert_eq!((short.status, &short.body["status"]), (200, &"running".into()), "the wait ends first");
    assert_eq!(short.headers["retry-after"], "2");
    let for_ever = format!("{url}?wait=99999999999");
    let long = stack.get(&gateway, &for_ever);
    let released = async {
        eventually("it waits", async || {
            (stack.text("SELECT coalesce(max(cardinality(ends)), 0)::text AS text FROM open_waits").await
                == "1")
                .then_some(())
        })
        .await;
        stack.model.release();
    };
    let (ended, ()) = tokio::join!(long, released);
    assert_eq!((&ended.body["status"], ended.headers.get("retry-after")), (&"completed".into(), None));
    eventually("its place is free", async || {
        (stack.text("SELECT coalesce(max(cardinality(ends)), 0)::text AS text FROM open_waits").await == "0")
            .then_some(())
    })
    .await;

    // Without nudges the slow poll is the net.
    proxy.cut();
    let id = stack.create_run(&gateway, "hello", None).await;
    let ended = stack.get(&gateway, &format!("/api/v1/runs/{id}?wait=50")).await;
    assert_eq!(ended.body["status"], "completed", "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_may_wait_for_its_end() {
    let stack = Stack::unlimited().await;
    let brief = stack.start_with(Service::Gateway, "CAPI_MAX_WAIT_SECONDS", "2").await;
    let patient = stack.start_with(Service::Gateway, "CAPI_MAX_WAIT_SECONDS", "600").await;
    let body = json!({"inputs": {"text": "hello"}});
    let preferring = async |gateway: &Process, wait: &str| {
        let url = format!("{}/api/v1/apps/{}/runs", gateway.url(), stack.app);
        stack.send(stack.client().post(url).bearer_auth(&stack.key).header("prefer", wait).json(&body)).await
    };
    let late = preferring(&brief, "respond-async, wait=600").await;
    assert_eq!((late.status, &late.body["status"]), (202, &"pending".into()), "{late:?}");
    assert_eq!(late.headers["preference-applied"], "wait=2", "shortened, not refused");
    assert!(late.headers.contains_key("location") && late.headers["retry-after"] == "2");
    let _worker = stack.start(Service::RunWorker).await;
    let done = preferring(&patient, "wait=90").await;
    assert_eq!((done.status, &done.body["result"]["text"]), (200, &"You said: hello".into()), "{done:?}");
    let at_once = preferring(&brief, "wait=soon").await;
    assert_eq!((at_once.status, at_once.headers.get("preference-applied")), (202, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_twenty_waits_are_open_over_all_gateways_and_a_draining_one_ends_its_own() {
    let stack = Stack::unlimited().await;
    let with_long_waits = async || stack.start_with(Service::Gateway, "CAPI_MAX_WAIT_SECONDS", "3600").await;
    let mut gateways = [with_long_waits().await, with_long_waits().await];
    let id = stack.create_run(&gateways[0], "hello", None).await;
    let urls = gateways.each_ref().map(|gateway| format!("{}/api/v1/runs/{id}?wait=3600", gateway.url()));
    let wait = |number: usize| {
        let request = stack.client().get(&urls[number % 2]).bearer_auth(&stack.key);
        tokio::spawn(async move {
            // A wait that a busy gateway refuses is none of the twenty.
            let deadline = Instant::now() + WAIT_LIMIT;
            loop {
                let answer = request.try_clone().unwrap().send().await.unwrap();
                let status = answer.status().as_u16();
                if status != 503 || Instant::now() > deadline {
                    return (status, answer.json::<Value>().await.unwrap());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let waits: Vec<_> = (0..20).map(wait).collect();
    eventually("twenty wait", async || {
        (stack.text("SELECT coalesce(max(cardinality(ends)), 0)::text AS text FROM open_waits").await == "20")
            .then_some(())
    })
    .await;
    for url in &urls {
        let refused = stack.send(stack.client().get(url).bearer_auth(&stack.key)).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &"too_many_streams".into()));
    }
    let count = "SELECT count(*)::text AS text FROM runs";
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}});
    let create = stack.client().post(format!("{}/api/v1/runs", gateways[0].url())).bearer_auth(&stack.key);
    let refused = stack.send(create.header("prefer", "wait=5").json(&body)).await;
    assert_eq!((refused.status, stack.text(count).await.as_str()), (429, "1"), "nothing is created");
    for gateway in &mut gateways {
        assert!(gateway.terminate().await, "it ends well");
    }
    for (status, body) in join_all(waits).await.into_iter().map(Result::unwrap) {
        assert_eq!((status, &body["status"]), (200, &"pending".into()), "the state of that moment");
    }
}
