//! Webhooks of all events, and tests of receivers, with all services.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{Answer, Process, Service, Stack};
use serde_json::json;
use shared::testing::{Ending, RawServer, ReceivedWebhook, WebhookReceiver, eventually};

/// The answer to a test of this receiver, and the time that it took. A test that no dispatcher took in time
/// was not sent, so it is repeated.
async fn send_test(stack: &Stack, gateway: &Process, url: &str) -> (Answer, Duration) {
    eventually("a dispatcher takes the test", async || {
        let begun = Instant::now();
        let answer = stack.post(gateway, "/api/v1/webhooks/test", &json!({"url": url})).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        (!detail.starts_with("no webhook-dispatcher took the test")).then(|| (answer, begun.elapsed()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reports_its_start_its_files_and_its_end() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    let app = stack.import_with_tools("").await;
    let file = json!({"title": "a.md", "media_type": "text/markdown", "content": "# A"}).to_string();
    let script = json!([{"say": "", "call": [["save_artifact", file]]}, {"say": "done"}]);
    let events = ["run.started", "run.artifact", "run.completed"];
    let more = json!({"webhookUrl": receiver.url(), "webhookEvents": events});
    let run = stack.run_app(&gateway, &app, &format!("SCRIPT {script}"), &more).await;
    assert_eq!(run["status"], "completed", "{run}");
    let sent =
        eventually("all webhooks", async || Some(receiver.received()).filter(|all| all.len() >= 3)).await;
    let secret = stack.webhook_secret().await;
    let official = standardwebhooks::Webhook::new(&secret).unwrap();
    for webhook in &sent {
        let (id, time) = (&webhook.headers["webhook-id"], &webhook.headers["webhook-timestamp"]);
        let expected = official.sign(id, time.parse().unwrap(), &webhook.body).unwrap();
        assert_eq!(webhook.headers["webhook-signature"], expected);
        assert_eq!(webhook.json()["data"]["id"], run["id"]);
    }
    let shown = stack.get(&gateway, &format!("/api/v1/runs/{}", run["id"].as_str().unwrap())).await.body;
    let end = sent.iter().map(ReceivedWebhook::json).find(|body| body["type"] == "run.completed").unwrap();
    for (field, value) in shown.as_object().unwrap() {
        // Their links are signed at another time.
        let is_left_out = ["webhook", "artifacts", "result"].contains(&field.as_str());
        assert!(is_left_out || end["data"][field] == *value, "GET and webhook differ in {field}: {end}");
    }
    assert_eq!(end["data"]["result"]["text"], shown["result"]["text"]);
    assert_eq!(end["data"]["artifacts"][0]["sha256"], shown["artifacts"][0]["sha256"]);
    let types: BTreeSet<_> = sent.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, events.map(str::to_owned).into_iter().collect());
    let ids: BTreeSet<_> = sent.iter().map(|one| one.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_shows_what_the_receiver_answers() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([204, 500]).await;
    let test = async |url: &str| send_test(&stack, &gateway, url).await.0;
    let good = test(&receiver.url()).await;
    assert_eq!((good.status, &good.body["statusCode"]), (200, &204.into()), "{good:?}");
    assert!(good.body["error"].is_null() && good.body["errorMessage"].is_null(), "{good:?}");
    let bad = test(&receiver.url()).await;
    assert_eq!((&bad.body["statusCode"], &bad.body["error"]), (&500.into(), &"status".into()), "{bad:?}");
    assert_eq!(bad.body["errorMessage"], "The receiver answered 500.");
    assert_eq!(receiver.received().len(), 2, "a test is tried once");
    let away = test("http://127.0.0.1:9/").await;
    assert_eq!((away.status, away.body["error"].as_str()), (400, None), "port 9 is not allowed: {away:?}");
    let unknown = test("http://receiver.invalid:8080/").await;
    assert_eq!((unknown.status, &unknown.body["error"]), (200, &"dns_failed".into()), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_ends_the_test_in_time() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    // A busy dispatcher may report the result later than the gateway waits for it.
    let (answer, took) = eventually("a result is reported in time", async || {
        let (answer, took) = send_test(&stack, &gateway, &silent.url("http")).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        let is_late = detail.contains("did not report a result in time");
        (!is_late).then_some((answer, took))
    })
    .await;
    assert_eq!((answer.status, &answer.body["error"]), (200, &"timeout".into()), "{answer:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
