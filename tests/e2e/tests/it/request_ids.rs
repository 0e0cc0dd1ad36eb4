//! A request id leads to log lines at the default level: those of a failed request, and those of the run that
//! a request created, in the gateway and in the worker.

use e2e::{Service, Stack, patiently};
use serde_json::json;
use shared::testing::eventually;

/// The lines of a log that contain all of `words`.
fn lines(log: &str, words: &[&str]) -> Vec<String> {
    let matches = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(matches).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_request_id_is_in_the_log_at_the_default_level() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LOG", "info");
    let gateway = stack.start(Service::Gateway).await;
    stack.create_run(&gateway, "hello", None).await;
    let lock = stack.meanwhile("SELECT 1 FROM rate_windows FOR UPDATE").await;
    let refused = stack.get_once(&gateway, "/api/agentapps").await;
    drop(lock);
    assert_eq!(refused.status, 503, "{refused:?}");
    let id = refused.body["requestId"].as_str().unwrap();
    let found = eventually("the request is in the log", async || {
        Some(lines(&gateway.log(), &[id, "server error"])).filter(|found| !found.is_empty())
    })
    .await;
    assert!(found[0].contains("ERROR") || found[0].contains("\"error\""), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_has_one_line_with_its_id_and_code_and_no_secret() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LOG", "info");
    let gateway = stack.start(Service::Gateway).await;
    let refused = stack.get(&gateway, "/api/v1/runs?limit=0&apiKey=capi_secret").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let id = refused.body["requestId"].as_str().unwrap();
    let found = eventually("the request is in the log", async || {
        Some(lines(&gateway.log(), &[id, "request refused"])).filter(|found| !found.is_empty())
    })
    .await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(["invalid_request", "400", "user_id", "/api/v1/runs"].iter().all(|word| found[0].contains(word)));
    assert!(!gateway.log().contains("capi_secret"), "a query may hold a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_lines_of_a_run_carry_the_request_id_that_created_it() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LOG", "info");
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    let created = patiently(async || {
        let create = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let create = create.header("idempotency-key", "one").header("x-request-id", "order-4711");
        stack.send(create.json(&body)).await
    })
    .await;
    let run = created.body["id"].as_str().unwrap().to_owned();
    stack.ended(&gateway, &run).await;
    let found = eventually("the run is in the worker's log", async || {
        Some(lines(&worker.log(), &[run.as_str(), "run ended"])).filter(|found| !found.is_empty())
    })
    .await;
    assert!(found.iter().all(|line| line.contains("order-4711")), "{found:?}");
}
