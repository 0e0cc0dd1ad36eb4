//! The streams of a run, with a worker and real messages between the processes.

use std::time::{Duration, Instant};

use e2e::events::{EventReader, Message, log_of};
use e2e::{Process, Service, Stack};
use serde_json::{Value, json};
use shared::queue::Topic;
use shared::testing::eventually;

fn path(run: &str) -> String {
    format!("/api/v1/runs/{run}/events")
}

/// The text that the deltas of a step show, by the documented rule.
fn shown(messages: &[Message], step: i64) -> String {
    let mut shown = String::new();
    for delta in messages.iter().filter(|message| is_delta(message, step)) {
        if delta.data["restart"] == true {
            shown.clear();
        }
        shown.push_str(delta.data["text"].as_str().unwrap());
    }
    shown
}

fn is_delta(message: &Message, step: i64) -> bool {
    message.event == "delta" && message.data["step"] == step
}

async fn script(stack: &Stack, gateway: &Process, script: &Value, model: &str) -> String {
    let app = stack.import_with_tools("").await;
    let text = format!("SCRIPT {script}");
    let body = json!({"appId": app, "inputs": {"text": text}, "chatModelId": model});
    stack.create_run_of(gateway, &body).await
}

/// Waits until a worker hears which runs have streams. It may be ready before.
async fn worker_hears_of_streams(stack: &Stack) {
    eventually("a worker hears of streams", async || {
        stack.queues.is_subscribed(Topic::Watched).await.then_some(())
    })
    .await;
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
    const ANSWER: &str = "The second \u{1f600} answer.";
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let worker = stack.start(Service::RunWorker).await;
    worker_hears_of_streams(&stack).await;
    // The second answer stops before its end and is asked for again three seconds later, twice. By then the
    // worker knows of the streams.
    let steps = json!([
        {"hold": true, "say": "The first answer.", "call": [["current_time", "{}"]]},
        {"fail": [2, "stall"], "say": ANSWER},
    ]);
    let run = script(&stack, &gateways[0], &steps, "impatient").await;
    let deltas = format!("{}?deltas=true", path(&run));
    let mut streams =
        [stack.events(&gateways[0], &deltas, None).await, stack.events(&gateways[1], &deltas, None).await];
    let mut without = stack.events(&gateways[1], &path(&run), None).await;
    eventually("the model holds its answer", async || (stack.model.holding() == 1).then_some(())).await;
    stack.model.release_held();
    for stream in &mut streams {
        let mut all = read_to(stream, |message| is_delta(message, 2)).await;
        let first = &all.last().unwrap().data;
        assert!(first["restart"] == true && ANSWER.starts_with(first["text"].as_str().unwrap()), "{first}");
        all.extend(stream.rest().await);
        assert!(all.iter().filter(|message| message.event == "delta").all(|delta| delta.id.is_none()));
        assert_eq!(log_of(&all), stack.stored_log(&run).await, "deltas are beside the log");
        // The last words may arrive after the event that makes them superfluous.
        assert!(ANSWER.starts_with(&shown(&all, 2)), "{all:?}");
        let answered = all.iter().rposition(|message| message.event == "message").unwrap();
        assert!(!all[answered..].iter().any(|message| is_delta(message, 2)), "no words after their message");
    }
    let plain = without.rest().await;
    assert!(!plain.iter().any(|message| message.event == "delta"));
    assert_eq!(log_of(&plain), stack.stored_log(&run).await);
    assert_eq!(worker.counter("capi_deltas_dropped_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_asked_for_again_begins_again() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    worker_hears_of_streams(&stack).await;
    let long = (0..600).map(|number: i32| number.to_string()).collect::<Vec<_>>().join(" ");
    // At the second held answer the worker knows of the stream.
    let steps = json!([
        {"hold": true, "say": "One.", "call": [["current_time", "{}"]]},
        {"hold": true, "say": "Two.", "call": [["current_time", "{}"]]},
        {"fail": [2, "cut"], "say": long},
    ]);
    let run = script(&stack, &gateway, &steps, "scripted").await;
    let mut stream = stack.events(&gateway, &format!("{}?deltas=true", path(&run)), None).await;
    for _ in 0..2 {
        eventually("the model holds its answer", async || (stack.model.holding() == 1).then_some(())).await;
        stack.model.release_held();
        read_to(&mut stream, |message| message.event == "tool.result").await;
    }
    let all = stream.rest().await;
    let shown = shown(&all, 3);
    assert!(!shown.is_empty() && long.starts_with(&shown), "no words are doubled: {shown}");
    let restarts = all.iter().filter(|message| is_delta(message, 3) && message.data["restart"] == true);
    assert!(restarts.count() >= 2, "the client is told: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_survives_the_stop_of_its_gateway_and_the_loss_of_the_broker() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.broker_proxy().await;
    let mut first = Process::start(Service::Gateway, &settings).await;
    let second = Process::start(Service::Gateway, &settings).await;
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

/// The bench opens 5,000.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_costs_few_kilobytes() {
    const ACCOUNTS: usize = 25;
    const STREAMS: usize = ACCOUNTS * 20;
    /// 150 MB for 5,000 streams.
    const KIB_EACH: usize = 30;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut runs = Vec::new();
    for number in 0..ACCOUNTS {
        let account = stack.account(&format!("reader{number}@example.com"), "big").await;
        let body = json!({"appId": account.app, "inputs": {"text": "x"}});
        let run = stack.create_run_at(&gateway, "/api/v1/runs", &account.key, &body).await;
        runs.push((account.key, run));
    }
    let before = gateway.resident_mb();
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let (key, run) = &runs[number % ACCOUNTS];
        let request = stack.client().get(format!("{}{}", gateway.url(), path(run))).bearer_auth(key);
        // A busy gateway may refuse a client at first.
        let open = async || EventReader::try_open(request.try_clone()?).await.ok();
        let mut stream = eventually("the stream opens", open).await;
        assert_eq!(stream.next().await.unwrap().event, "run.created");
        streams.push(stream);
    }
    let more = gateway.resident_mb().saturating_sub(before);
    eprintln!("{STREAMS} streams cost {more} MB");
    assert!(usize::try_from(more).unwrap() * 1024 < STREAMS * KIB_EACH, "{STREAMS} streams cost {more} MB");
}
