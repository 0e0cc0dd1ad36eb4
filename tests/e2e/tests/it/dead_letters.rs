//! Messages that no process can handle become dead letters. They are counted, and an operator lists, requeues
//! or deletes them.

use e2e::{Service, Stack};
use shared::queue::WorkQueue;
use shared::testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_sent_again_and_deleted() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    let user = stack.text("SELECT id::text AS text FROM users").await;
    // A nudge whose handling kills each process.
    stack.queues.reject_until_dead(WorkQueue::Runs).await;
    let worker = stack.start(Service::RunWorker).await;
    assert_eq!(stack.ended(&gateway, &id).await["status"], "completed", "the sweeper makes up for it");
    stack.queues.publish(WorkQueue::Runs, b"<order id=\"7\"/>\0\xff").await;
    eventually("it is dead", async || {
        (worker.counter("capi_messages_undecodable_total").await == 1.0).then_some(())
    })
    .await;
    eventually("both are counted", async || (worker.counter("capi_dead_letters").await == 2.0).then_some(()))
        .await;

    for _ in 0..2 {
        let listed = stack.cli(&["queue", "dead", "list"], "").await;
        let expected = format!(
            "runs: 2 dead\n  delivery_limit: nudge {user}\n  rejected: no nudge, 17 bytes: <order \
             id=\\\"7\\\"/>\u{fffd}\u{fffd}\ndeliveries: 0 dead"
        );
        assert_eq!(listed, expected);
    }
    let one = stack.cli(&["queue", "dead", "list", "--work", "runs", "--limit", "1"], "").await;
    assert_eq!(one.lines().count(), 2, "{one}");
    let again = stack.cli(&["queue", "dead", "requeue"], "").await;
    assert_eq!(
        again,
        "runs: 1 sent again, 1 left that are no nudges\ndeliveries: 0 sent again, 0 left that are no nudges"
    );
    eventually("it finds nothing to do", async || {
        let (_, metrics) = worker.ops("/metrics").await?;
        metrics.contains("capi_run_nudges_total{outcome=\"nothing\"}").then_some(())
    })
    .await;
    assert_eq!(stack.cli(&["queue", "dead", "drop", "--work", "runs"], "").await, "runs: 1 deleted");
    assert_eq!(stack.cli(&["queue", "dead", "list"], "").await, "runs: 0 dead\ndeliveries: 0 dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_newer_version_goes_back_more_often_than_the_delivery_limit() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    stack.queues.publish(WorkQueue::Runs, br#"{"v":2,"users":["a","b"]}"#).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    assert_eq!(stack.ended(&gateway, &id).await["status"], "completed", "other nudges pass");
    // A newer process would have taken it from one of these deliveries.
    eventually("it went round 25 times", async || {
        (worker.counter("capi_messages_newer_total").await >= 25.0).then_some(())
    })
    .await;
    let listed = stack.cli(&["queue", "dead", "list", "--work", "runs"], "").await;
    assert!(listed.starts_with("runs: 0 dead"), "{listed}");
    assert!(!worker.metrics().await.contains("capi_messages_undecodable_total 1"));
}
