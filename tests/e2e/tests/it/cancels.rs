//! A cancel is final at once, reaches the worker, and nothing that comes later changes the run (R15).

use e2e::{Process, Service, Signal, Stack};
use futures_util::StreamExt;
use serde_json::{Value, json};
use shared::testing::{PageServer, eventually};

/// A stack whose leases are so long that no worker renews one before `WAIT_LIMIT` is over: workers learn of
/// cancels from broadcasts alone.
async fn with_long_leases() -> Stack {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "300");
    stack
}

async fn cancel(stack: &Stack, gateway: &Process, id: &str) {
    let answer = stack.cancel_run(gateway, id).await;
    assert_eq!((answer.status, answer.body), (200, json!({"success": true})));
    let run = stack.get(gateway, &format!("/api/v1/runs/{id}")).await.body;
    assert_eq!(run["status"], "cancelled", "at once");
}

async fn released(stack: &Stack) {
    eventually("the row says when the worker released the run", async || {
        let sql = "SELECT coalesce(released_at >= completed_at, false)::text AS text FROM runs";
        (stack.text(sql).await == "true").then_some(())
    })
    .await;
}

async fn log(stack: &Stack) -> String {
    stack.text("SELECT string_agg(type, ' ' ORDER BY seq) AS text FROM run_events").await
}

async fn counts_a_release(worker: &Process) -> bool {
    worker.metrics().await.contains("capi_leases_released_total{reason=\"cancelled\"} 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_cancel_in_a_model_call_closes_the_stream_and_a_late_answer_changes_nothing() {
    let stack = with_long_leases().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    cancel(&stack, &gateway, &id).await;
    eventually("the stream is closed", async || (stack.model.holding() == 0).then_some(())).await;
    released(&stack).await;
    eventually("a metric says so", async || counts_a_release(&worker).await.then_some(())).await;
    assert_eq!(
        worker.counter("capi_cancel_release_duration_seconds_count").await,
        1.0,
        "the metric has the time of the release"
    );

    stack.model.release();
    let other = stack.create_run(&gateway, "hello", None).await;
    assert_eq!(stack.ended(&gateway, &other).await["status"], "completed", "another run may start");
    let run = stack.get(&gateway, &format!("/api/v1/runs/{id}")).await.body;
    assert_eq!((&run["status"], &run["result"]), (&"cancelled".into(), &Value::Null), "{run}");
    let of_the_cancelled = "SELECT string_agg(e.type, ' ' ORDER BY seq) AS text FROM run_events e JOIN runs \
                            r ON r.id = e.run_id WHERE r.status = 'cancelled'";
    assert_eq!(stack.text(of_the_cancelled).await, "run.created run.started message run.cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_cancel_in_a_tool_ends_the_tool() {
    let stack = with_long_leases().await;
    let pages = PageServer::start().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let fetch = json!({"url": pages.url("/never")}).to_string();
    let script = json!([{"say": "I look.", "call": [["fetch_url", fetch]]}, {"say": "Done."}]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    eventually("the page is asked for", async || (pages.holding() == 1).then_some(())).await;
    cancel(&stack, &gateway, &id).await;
    eventually("the tool no longer reads the page", async || (pages.holding() == 0).then_some(())).await;
    released(&stack).await;
    assert_eq!(log(&stack).await, "run.created run.started message message tool.call run.cancelled");
    assert_eq!(stack.model.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_draining_worker_receives_cancels() {
    let stack = with_long_leases().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut worker = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    worker.signal(Signal::TERM);
    eventually("it drains", async || (!worker.is_ready().await).then_some(())).await;
    cancel(&stack, &gateway, &id).await;
    assert!(worker.ends_well().await, "it ends well: {}", worker.log());
    released(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_cancelled_pending_run_never_starts() {
    let stack = with_long_leases().await;
    let gateway = stack.start(Service::Gateway).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    cancel(&stack, &gateway, &id).await;
    let worker = stack.start(Service::RunWorker).await;
    eventually("its nudge is served", async || {
        (worker.counter("capi_run_nudges_total").await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(log(&stack).await, "run.created run.cancelled");
    assert!(stack.model.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_without_the_broker_the_heartbeat_finds_the_cancel() {
    let stack = Stack::unlimited().await;
    let (proxy, behind) = stack.broker_proxy().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = Process::start(Service::RunWorker, &behind).await;
    let id = stack.create_run(&gateway, "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    proxy.cut();
    cancel(&stack, &gateway, &id).await;
    eventually("the stream is closed", async || (stack.model.holding() == 0).then_some(())).await;
    released(&stack).await;
    eventually("a metric says so", async || counts_a_release(&worker).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_missed_a_broadcast_reads_the_row_after_it_subscribes_again() {
    let stack = with_long_leases().await;
    let (proxy, behind) = stack.broker_proxy().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = Process::start(Service::RunWorker, &behind).await;
    let id = stack.create_run(&gateway, "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    proxy.cut();
    eventually("the worker noticed", async || (!worker.is_ready().await).then_some(())).await;
    cancel(&stack, &gateway, &id).await;
    proxy.mend();
    eventually("the stream is closed", async || (stack.model.holding() == 0).then_some(())).await;
}

/// Snapshots count in no quota, so a cancel must not leave them.
#[tokio::test(flavor = "multi_thread")]
async fn the_snapshots_of_a_cancelled_run_are_deleted() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let (pages, app) = (PageServer::start().await, stack.import_with_tools("").await);
    let write = json!({"script": "head -c 100000 /dev/urandom > a"}).to_string();
    let fetch = json!({"url": pages.url("/never")}).to_string();
    let script = json!([{"call": [["shell", write]]}, {"call": [["fetch_url", fetch]]}]);
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    eventually("the page is asked for", async || (pages.holding() == 1).then_some(())).await;
    let (store, run) = (stack.artifacts(), id.parse().unwrap());
    assert!(store.list(Some(run)).count().await > 0, "a snapshot is stored");
    cancel(&stack, &gateway, &id).await;
    eventually("its snapshots are deleted", async || {
        (store.list(Some(run)).count().await == 0).then_some(())
    })
    .await;
}
