//! When runs start: exact caps, oldest first, and no user delays another one (R18). And why a run waits.

use e2e::{Process, Service, Stack};
use serde_json::{Value, json};
use shared::queue::WorkQueue;
use shared::testing::eventually;

const CAP: usize = 20;
const PLANS: &str =
    "[plans.fair]\napi = true\nrequests_per_minute = 10000\napi_keys = 10\nrunning_runs = 20\n";

async fn running(stack: &Stack) -> usize {
    stack.text("SELECT count(*)::text AS text FROM runs WHERE status = 'running'").await.parse().unwrap()
}

async fn pending(stack: &Stack, gateway: &Process, id: &str) -> Value {
    stack.get(gateway, &format!("/api/v1/runs/{id}")).await.body["pending"].clone()
}

/// Another user creates a run.
async fn eve_creates_a_run(stack: &Stack, gateway: &Process, text: &str) {
    let eve = stack.account("eve@example.com", "fair").await;
    let body = json!({"appId": eve.app, "inputs": {"text": text}});
    stack.create_run_at(gateway, "/api/v1/runs", &eve.key, &body).await;
}

/// The id of the stack's account.
async fn user(stack: &Stack) -> String {
    stack.text("SELECT id::text AS text FROM users WHERE email <> 'eve@example.com'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_thousand_runs_of_one_user_use_the_whole_cap_and_delay_no_other_user() {
    let stack = Stack::create("fair", PLANS).await.with_usual_leases();
    stack.backlog(1000, "HOLD").await;
    let gateway = stack.start(Service::Gateway).await;
    let _workers = [
        stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "16").await,
        stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "16").await,
    ];
    eventually("the cap is used up", async || (stack.model.holding() == CAP).then_some(())).await;
    let last = stack.create_run(&gateway, "hello", None).await;
    let waits = pending(&stack, &gateway, &last).await;
    assert_eq!(
        (&waits["reason"], &waits["ahead"]),
        (&"user_concurrency_limit".into(), &980.into()),
        "{waits}"
    );

    eve_creates_a_run(&stack, &gateway, "hello").await;
    let started = "SELECT count(*)::text AS text FROM runs r JOIN users u ON u.id = r.user_id
                   WHERE u.email = 'eve@example.com' AND r.started_at IS NOT NULL";
    eventually("the run of eve has started", async || (stack.text(started).await == "1").then_some(())).await;
    eventually("the run of eve is over", async || (running(&stack).await == CAP).then_some(())).await;

    for round in 1..=3 {
        stack.model.release_held();
        eventually("the next runs have started", async || {
            let asked = stack.model.asked().len() - 1;
            assert!(running(&stack).await <= CAP, "never more than the cap");
            (stack.model.holding() == CAP && asked == CAP * (round + 1)).then_some(())
        })
        .await;
    }
    let overtaken = "SELECT count(*)::text AS text FROM runs p JOIN runs r ON r.user_id = p.user_id
                     WHERE p.status = 'pending' AND r.status <> 'pending' AND r.created_at > p.created_at";
    assert_eq!(stack.text(overtaken).await, "0", "oldest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_fewer_places_than_a_users_cap_leave_room_for_another_user() {
    const TEXT: &str = r#"SCRIPT [{"say": "late", "wait": 200}]"#;
    let stack = Stack::create("fair", PLANS).await;
    let gateway = stack.start(Service::Gateway).await;
    stack.backlog(120, TEXT).await;
    // One nudge for each create, as gateways of the former version send them.
    let nudge = json!({"v": 1, "id": user(&stack).await}).to_string();
    stack.queues.publish_all(WorkQueue::Runs, &[nudge.as_bytes(); 120]).await;
    eve_creates_a_run(&stack, &gateway, TEXT).await;
    let _worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "16").await;
    let before = "SELECT count(*)::text AS text FROM runs r
                  JOIN runs e ON r.user_id <> e.user_id AND r.started_at < e.started_at
                  JOIN users u ON u.id = e.user_id AND u.email = 'eve@example.com'";
    let eves = "SELECT count(r.completed_at)::text AS text FROM runs r JOIN users u ON u.id = r.user_id
                WHERE u.email = 'eve@example.com'";
    eventually("the run of eve is over", async || (stack.text(eves).await == "1").then_some(())).await;
    let before: usize = stack.text(before).await.parse().unwrap();
    assert!(before < 40, "{before} runs of the other user started before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_slot_is_locked_delays_no_other_user() {
    let stack = Stack::create("fair", PLANS).await;
    // A claim then waits for a lock until the limit of its statement, which is 10 s.
    stack.database.run_sql("ALTER FUNCTION claim_runs_v2 SET lock_timeout = 0").await;
    let gateway = stack.start(Service::Gateway).await;
    let user = user(&stack).await;
    stack.backlog(5, "hello").await;
    let locked =
        stack.meanwhile(&format!("SELECT 1 FROM user_slots WHERE user_id = '{user}' FOR UPDATE")).await;
    let _worker = stack.start(Service::RunWorker).await;
    let nudge = json!({"v": 1, "id": user}).to_string();
    for _ in 0..10 {
        stack.queues.publish(WorkQueue::Runs, nudge.as_bytes()).await;
    }
    eve_creates_a_run(&stack, &gateway, "hello").await;
    // Shorter than the wait of one claim for the lock.
    let soon = "SELECT count(*)::text AS text FROM runs r JOIN users u ON u.id = r.user_id
                WHERE u.email = 'eve@example.com' AND r.started_at < r.created_at + interval '8 s'";
    eventually("the run of eve has started", async || (stack.text(soon).await == "1").then_some(())).await;
    assert_eq!(stack.text("SELECT count(*)::text AS text FROM runs WHERE status = 'pending'").await, "5");
    drop(locked);
    let over = "SELECT count(*)::text AS text FROM runs WHERE status = 'completed'";
    eventually("all runs are over", async || (stack.text(over).await == "6").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_why_it_waits() {
    let stack = Stack::create("fair", PLANS).await;
    let gateway = stack.start(Service::Gateway).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    let reason =
        async || pending(&stack, &gateway, &id).await["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!(reason().await, "no_worker_ready", "no worker reports");
    stack.database.run_sql("INSERT INTO workers VALUES ('another', capi_now())").await;
    eventually("a worker that reported 29 s ago counts", async || {
        stack.database.run_sql("UPDATE workers SET reported_at = capi_now() - interval '29 s'").await;
        (reason().await == "waiting_for_worker").then_some(())
    })
    .await;
    stack.database.run_sql("UPDATE workers SET reported_at = capi_now() - interval '31 s'").await;
    assert_eq!(reason().await, "no_worker_ready", "the last report is 31 s old");
    stack.database.run_sql("UPDATE runs SET status = 'cancelled', completed_at = capi_now()").await;

    let mut worker = stack.start(Service::RunWorker).await;
    let reports = "SELECT count(*)::text AS text FROM workers WHERE id <> 'another'";
    eventually("the worker reports", async || (stack.text(reports).await == "1").then_some(())).await;
    assert!(worker.terminate().await);
    assert_eq!(stack.text(reports).await, "0", "a stopping worker deletes its report");
}
