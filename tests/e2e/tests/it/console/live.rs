//! After a broken connection, the thread continues after the last event that was shown.

use e2e::console::EMAIL;
use e2e::{Browser, Service, Stack};
use serde_json::json;
use shared::testing::{TcpProxy, eventually};

const SEQS: &str = "return [...document.querySelectorAll('[data-seq], .output')].map((item) => \
                    Number(item.dataset.seq ?? item.id.slice(1)))";

async fn seqs(browser: &Browser) -> Vec<u64> {
    let seen = browser.eval(SEQS).await;
    let mut seen: Vec<_> = seen.as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
    seen.sort_unstable();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_loses_and_doubles_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let proxy = TcpProxy::start(gateway.url().replace("http://", "")).await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in_at(&browser, &format!("http://{}", proxy.address), EMAIL).await;
    let app = stack.import_with_tools("").await;
    let script = json!([
        {"say": "first", "call": [["current_time", "{}"]]},
        {"hold": true, "say": "second", "call": [["current_time", "{}"]]},
        {"hold": true, "say": "third"},
    ]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    browser.open(&format!("http://{}/runs/{id}", proxy.address)).await;
    browser.wait_for_text("#connection", "live").await;
    eventually("the second answer is held", async || (stack.model.holding() == 1).then_some(())).await;
    browser.wait_for_text(".thread", "first").await;

    proxy.cut();
    browser.wait_for_text("#connection", "reconnecting").await;
    stack.model.release_held();
    eventually("the third answer is held", async || {
        let answered =
            stack.text("SELECT count(*)::text AS text FROM run_events WHERE type = 'tool.result'").await;
        (answered == "2" && stack.model.holding() == 1).then_some(())
    })
    .await;
    assert!(!browser.text(".thread").await.contains("second"), "nothing comes through");
    proxy.mend();
    browser.wait_for_text(".thread", "second").await;
    stack.model.release();
    browser.wait_for_text("#summary .status", "completed").await;
    browser.wait_for_text(".thread", "third").await;
    let last: u64 = stack.text("SELECT last_seq::text AS text FROM runs").await.parse().unwrap();
    // An agent without instructions says nothing of the system.
    let expected: Vec<u64> = stack
        .texts(
            "SELECT seq::text AS text FROM run_events WHERE NOT (data ->> 'role' IS NOT DISTINCT FROM \
                'system' AND data ->> 'content' = '') ORDER BY seq",
        )
        .await
        .iter()
        .map(|seq| seq.parse().unwrap())
        .collect();
    assert_eq!(seqs(&browser).await, expected);
    assert_eq!(expected.last(), Some(&last));
    assert_eq!(
        browser.eval("return document.querySelectorAll('.call .output').length").await,
        2,
        "results stand in their calls"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_the_model_are_shown_as_text_until_its_answer_is_there() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    let app = stack.import_with_tools("").await;
    // The second answer stops in the middle.
    let script = json!([
        {"hold": true, "say": "first", "call": [["current_time", "{}"]]},
        {"fail": [9, "stall"], "say": "<b>half</b> of an answer"},
    ]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    browser.open(&format!("{}/runs/{id}", gateway.url())).await;
    browser.wait_for_text("#connection", "live").await;
    eventually("the first answer is held", async || (stack.model.holding() == 1).then_some(())).await;
    stack.model.release_held();
    browser.wait_for_text("#words", "<b>half</b>").await;
    browser.wait_for_text(".thread", "first").await;
    assert_eq!(stack.cancel_run(&gateway, &id).await.status, 200);
    browser.wait_for_text("#summary .status", "cancelled").await;
    assert_eq!(browser.eval("return document.getElementById('words')").await, json!(null));
}
