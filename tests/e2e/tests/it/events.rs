//! The streams of a run, with a worker and real messages between the processes.

use std::time::{Duration, Instant};

use e2e::events::{EventReader, Message, log_of};
use e2e::{Service, Stack};
use serde_json::json;
use shared::testing::eventually;

fn path(run: &str) -> String {
    format!("/api/v1/runs/{run}/events")
}

/// The text that the deltas of a step show, by the documented rule.
fn shown(messages: &[Message], step: i64) -> String {
    let mut shown = String::new();
    for delta in messages.iter().filter(|message| message.event == "delta" && message.data["step"] == step) {
        if delta.data["restart"] == true {
            shown.clear();
        }
        shown.push_str(delta.data["text"].as_str().unwrap());
    }
    shown
}

async fn script(stack: &Stack, gateway: &impl e2e::Gateway, script: &serde_json::Value) -> String {
    let app = stack.import_with_tools("").await;
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let created = stack.post(gateway, "/api/v1/runs", &body).await;
    created.body["id"].as_str().unwrap().to_owned()
}

/// Reads up to the first message for which `wanted` holds; all messages so far.
async fn read_to(stream: &mut EventReader, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
    let mut read = Vec::new();
    loop {
        let message = stream.next().await.unwrap_or_else(|| panic!("the stream ended: {read:?}"));
        let found = wanted(&message);
        read.push(message);
        if found {
            return read;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_the_model_arrive_before_its_message() {
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let worker = stack.start(Service::RunWorker).await;
    // Each answer is held in the middle, so its first half must come as words.
    let steps = json!([
        {"hold": true, "say": "The first answer.", "call": [["current_time", "{}"]]},
        {"hold": true, "say": "The second \u{1f600} answer."},
    ]);
    let run = script(&stack, &gateways[0], &steps).await;
    let mut with = stack.events(&gateways[0], &format!("{}?deltas=true", path(&run)), None).await;
    let mut other = stack.events(&gateways[1], &format!("{}?deltas=true", path(&run)), None).await;
    let mut without = stack.events(&gateways[1], &path(&run), None).await;
    let is_delta = |message: &Message| message.event == "delta";
    let mut all = Vec::new();
    for _ in 0..2 {
        eventually("the model holds its answer", async || (stack.model.holding() == 1).then_some(())).await;
        // The words of a held answer went out before a gateway was known to watch, if the worker was quick.
        stack.model.release_held();
        all.extend(
            read_to(&mut with, |message| {
                message.event == "message" && message.data["data"]["role"] == "assistant"
            })
            .await,
        );
    }
    all.extend(with.rest().await);
    assert!(all.iter().any(is_delta), "{all:?}");
    assert!(all.iter().filter(|message| is_delta(message)).all(|delta| delta.id.is_none()));
    assert_eq!(log_of(&all), stack.stored_log(&run).await, "deltas are beside the log");
    assert_eq!(shown(&all, 2), "The second \u{1f600} answer.", "{all:?}");
    let others = other.rest().await;
    assert_eq!(shown(&others, 2), "The second \u{1f600} answer.", "on every gateway");
    let plain = without.rest().await;
    assert!(!plain.iter().any(is_delta));
    assert_eq!(log_of(&plain), stack.stored_log(&run).await);
    assert_eq!(worker.counter("capi_deltas_dropped_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_asked_for_again_begins_again() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let long = "word ".repeat(600);
    // At the second held answer the worker knows of the stream.
    let steps = json!([
        {"hold": true, "say": "One.", "call": [["current_time", "{}"]]},
        {"hold": true, "say": "Two.", "call": [["current_time", "{}"]]},
        {"fail": [2, "cut"], "say": long},
    ]);
    let run = script(&stack, &gateway, &steps).await;
    let mut stream = stack.events(&gateway, &format!("{}?deltas=true", path(&run)), None).await;
    for _ in 0..2 {
        eventually("the model holds its answer", async || (stack.model.holding() == 1).then_some(())).await;
        stack.model.release_held();
        read_to(&mut stream, |message| message.event == "tool.result").await;
    }
    let all = stream.rest().await;
    assert_eq!(shown(&all, 3), long, "no words are doubled");
    let restarts = all.iter().filter(|message| message.data["step"] == 3 && message.data["restart"] == true);
    assert!(restarts.count() >= 2, "the client is told: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_survives_the_stop_of_its_gateway_and_the_loss_of_the_broker() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.broker_proxy().await;
    let mut first = e2e::Process::start(Service::Gateway, &settings).await;
    let second = e2e::Process::start(Service::Gateway, &settings).await;
    let _worker = stack.start(Service::RunWorker).await;
    let run = stack.create_run(&first, "HOLD", None).await;
    let mut stream = stack.events(&first, &path(&run), None).await;
    let mut joined = read_to(&mut stream, |message| message.event == "message").await;
    let stopped = Instant::now();
    let (ended, clean) = tokio::join!(stream.rest(), first.terminate());
    assert!(clean && stopped.elapsed() < Duration::from_secs(10), "it does not wait for its streams");
    assert!(stream.others.iter().any(|line| line.starts_with("retry: ")), "{:?}", stream.others);
    joined.extend(ended);
    // Without broadcasts the poll is the net.
    proxy.cut();
    let last = joined.last().and_then(|message| message.id);
    let mut stream = stack.events(&second, &path(&run), last).await;
    stack.model.release();
    joined.extend(stream.rest().await);
    assert_eq!(log_of(&joined), stack.stored_log(&run).await);
}
