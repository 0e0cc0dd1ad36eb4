//! Faults of the broker: a deleted queue or binding, no memory, purged nudges, duplicates, and a consumer
//! timeout (R8 to R11, R13).

use std::time::Duration;

use e2e::{PrivateBroker, Process, Service, Stack};
use futures_util::future::join_all;
use serde_json::json;
use shared::queue::{Bucket, Exchange, Topic, WorkQueue};
use shared::testing::{TestDatabase, TestQueues, eventually};

const FAILURES: &str = "capi_broker_connection_failures_total";
const CONFIRMED: &str = "capi_nudges_published_total{outcome=\"confirmed\"}";
const MERGED: &str = "capi_nudges_merged_total{queue=\"runs\"}";
const SPARED: &str = "capi_nudges_spared_total{queue=\"runs\"}";
const CREATED: &str = "capi_runs_created_total";
const LOST: &str = "capi_nudges_published_total{outcome=\"lost\"}";

async fn completed(stack: &Stack, runs: usize) {
    eventually(&format!("{runs} runs are completed"), async || {
        let done = stack.text("SELECT count(*)::text AS text FROM runs WHERE status = 'completed'").await;
        (done == runs.to_string()).then_some(())
    })
    .await;
}

async fn each_was_executed_once(stack: &Stack, runs: usize) {
    assert_eq!(stack.model.asked().len(), runs, "each run is executed once");
    let again = "SELECT count(*)::text AS text FROM runs WHERE attempt <> 1";
    assert_eq!(stack.text(again).await, "0");
}

/// A stack over its own broker; `config` is appended to the broker's configuration.
async fn on_a_private_broker(config: &str) -> (PrivateBroker, Stack) {
    let broker = PrivateBroker::start(config).await;
    let queues = TestQueues::create_at(broker.url.clone());
    let stack = Stack::unlimited_over(TestDatabase::create().await, queues).await;
    (broker, stack.with_usual_leases())
}

/// A series of a metric.
async fn series(process: &Process, name: &str) -> f64 {
    let metrics = process.metrics().await;
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_deleted_queue_or_exchange_is_noticed_and_declared_again() {
    let stack = Stack::unlimited().await.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    stack.create_run(&gateway, "hello", None).await;
    eventually("a nudge is confirmed", async || (series(&gateway, CONFIRMED).await > 0.0).then_some(()))
        .await;
    let confirmed = series(&gateway, CONFIRMED).await;
    stack.queues.delete(WorkQueue::Runs).await;
    stack.create_run(&gateway, "hello", None).await;
    eventually("the loss is noticed", async || (series(&gateway, LOST).await > 0.0).then_some(())).await;
    assert_eq!(series(&gateway, CONFIRMED).await, confirmed, "what was not routed does not count as sent");
    let worker = stack.start(Service::RunWorker).await;
    completed(&stack, 2).await;

    stack.queues.delete(WorkQueue::Runs).await;
    stack.create_run(&gateway, "hello", None).await;
    completed(&stack, 3).await;
    // Only a consumer notices that its queue is gone.
    eventually("the worker noticed", async || (worker.counter(FAILURES).await > 0.0).then_some(())).await;

    stack.queues.delete_exchange(Exchange::RunEvents).await;
    stack.create_run(&gateway, "hello", None).await;
    completed(&stack, 4).await;
    eventually("the exchange is there again", async || {
        stack.queues.has_exchange(Exchange::RunEvents).await.then_some(())
    })
    .await;
    each_was_executed_once(&stack, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_deleted_bindings_are_made_again() {
    const WAITS: usize = 5;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let mut ids = Vec::new();
    for _ in 0..WAITS {
        ids.push(stack.create_run(&gateway, "HOLD", None).await);
    }
    let all_are_subscribed = async || {
        for id in &ids {
            let topic = Topic::Runs(Bucket::of(id.parse().unwrap()));
            if !stack.queues.is_subscribed(topic).await {
                return None;
            }
        }
        Some(())
    };
    let waits = ids.iter().map(async |id| {
        let run = stack.get(&gateway, &format!("/api/v1/runs/{id}?wait=50")).await.body;
        assert_eq!(run["status"], "completed");
    });
    let deleting = async {
        eventually("all run", async || (stack.model.holding() == WAITS).then_some(())).await;
        eventually("the gateway is subscribed to all runs", all_are_subscribed).await;
        stack.queues.delete_exchange(Exchange::RunEvents).await;
        eventually("the gateway is subscribed to all runs again", all_are_subscribed).await;
        stack.model.release();
    };
    futures_util::future::join(join_all(waits), deleting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_a_broker_without_memory_stops_nothing_but_nudges() {
    let (broker, stack) = on_a_private_broker("").await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let before = stack.create_run(&gateway, "HOLD before", None).await;
    eventually("it runs", async || (stack.model.holding() == 1).then_some(())).await;
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    for _ in 0..20 {
        stack.create_run(&gateway, "hello", None).await;
    }
    eventually("publishing is given up", async || (series(&gateway, LOST).await > 0.0).then_some(())).await;
    stack.model.release();
    assert_eq!(stack.ended(&gateway, &before).await["status"], "completed", "a running run continues");
    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    completed(&stack, 21).await;
    worker.becomes_ready().await;
    each_was_executed_once(&stack, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_sweepers_replace_purged_nudges() {
    const RUNS: usize = 200;
    let stack = Stack::unlimited().await.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    for _ in 0..RUNS {
        stack.create_run(&gateway, "hello", None).await;
    }
    eventually("all nudges are sent", async || {
        // A gateway that gave up a create neither counts the run nor nudges for it.
        let created = gateway.counter(CREATED).await;
        (series(&gateway, CONFIRMED).await + series(&gateway, MERGED).await >= created).then_some(())
    })
    .await;
    stack.queues.purge(WorkQueue::Runs).await;
    let _worker = stack.start(Service::RunWorker).await;
    completed(&stack, RUNS).await;
    each_was_executed_once(&stack, RUNS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_nudge_that_arrives_five_times_starts_a_run_once() {
    const RUNS: usize = 40;
    let stack = Stack::unlimited().await.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    let user = stack.text("SELECT id::text AS text FROM users").await;
    let nudge = json!({"v": 1, "id": user}).to_string();
    let workers = join_all((0..2).map(|_| stack.start(Service::RunWorker))).await;
    for _ in 0..RUNS {
        stack.create_run(&gateway, "hello", None).await;
        for _ in 0..4 {
            stack.queues.publish(WorkQueue::Runs, nudge.as_bytes()).await;
        }
    }
    completed(&stack, RUNS).await;
    eventually("all nudges are served", async || {
        // Four for each run, and one of the gateway for each run that it counts.
        let sent = 160.0 + gateway.counter(CREATED).await;
        let served = join_all(workers.iter().map(|worker| worker.counter("capi_run_nudges_total"))).await;
        (served.iter().sum::<f64>() >= sent).then_some(())
    })
    .await;
    each_was_executed_once(&stack, RUNS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_long_runs_keep_no_message_and_no_channel() {
    let (_broker, stack) = on_a_private_broker("consumer_timeout = 3000\n").await;
    let gateway = stack.start(Service::Gateway).await;
    let full = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "2").await;
    let long =
        [stack.create_run(&gateway, "HOLD", None).await, stack.create_run(&gateway, "HOLD", None).await];
    eventually("both permits are taken", async || (stack.model.holding() == 2).then_some(())).await;
    // The first try to connect may fail on a busy machine.
    let failures = full.counter(FAILURES).await;
    for _ in 0..10 {
        stack.create_run(&gateway, "hello", None).await;
    }
    // The gateway may have merged the nudges of its creates.
    let user = stack.text("SELECT id::text AS text FROM users").await;
    let nudge = json!({"v": 1, "id": user}).to_string();
    stack.queues.publish_all(WorkQueue::Runs, &[nudge.as_bytes(); 10]).await;
    // Longer than the broker waits for a consumer to acknowledge.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(full.counter(FAILURES).await, failures, "{}", full.log());
    let waiting = stack.queues.ready(WorkQueue::Runs).await;
    assert!(waiting >= 10, "a worker without a permit holds no nudge back: {waiting} are ready");
    let other = stack.start(Service::RunWorker).await;
    completed(&stack, 10).await;
    stack.model.release();
    for id in &long {
        assert_eq!(stack.ended(&gateway, id).await["attempt"], 1);
    }
    each_was_executed_once(&stack, 12).await;
    for worker in [&full, &other] {
        eventually("dead letters are counted", async || {
            worker.metrics().await.contains("capi_dead_letters{queue=\"runs\"} 0").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_many_nudges_gets_none_of_creates_and_old_ones_are_soon_gone() {
    /// From so many ready messages on, a gateway sends no nudges of creates.
    const MANY: usize = 1000;
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let old = json!({"v": 1, "id": uuid::Uuid::now_v7()}).to_string();
    stack.queues.publish_all(WorkQueue::Runs, &[old.as_bytes(); MANY]).await;
    // The gateway counts the queue beside the first of these nudges.
    eventually("nudges are spared", async || {
        stack.create_run(&gateway, "hello", None).await;
        (series(&gateway, SPARED).await >= 1.0).then_some(())
    })
    .await;
    let worker = stack.start(Service::RunWorker).await;
    let runs = "SELECT count(*)::text AS text FROM runs";
    completed(&stack, stack.text(runs).await.parse().unwrap()).await;
    eventually("the queue is empty", async || (stack.queues.ready(WorkQueue::Runs).await == 0).then_some(()))
        .await;
    // A message that is no longer ready is delivered, but may not be handled yet.
    eventually("the old nudges found nothing", async || {
        (worker.counter("capi_run_nudges_total").await >= 1000.0).then_some(())
    })
    .await;
}
