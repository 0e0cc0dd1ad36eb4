//! What happens while the broker or the database is away, or slow, or refuses.

use e2e::{Process, Service, Stack};
use shared::testing::{TcpProxy, eventually};

/// A stack whose services reach the broker through a proxy.
async fn behind_a_proxy() -> (Stack, TcpProxy) {
    let mut stack = Stack::unlimited().await.with_usual_leases();
    let (proxy, settings) = stack.broker_proxy().await;
    stack.settings = settings;
    (stack, proxy)
}

/// Only a gateway is ready without the broker. None of them is restarted for it.
async fn says_that_the_broker_is_down(process: &Process, ready: u16) {
    eventually("readiness says that the broker is down", async || {
        let (status, body) = process.ops("/readyz").await?;
        (status == ready && body.contains(r#""broker":"down""#)).then_some(())
    })
    .await;
    let (alive, _) = eventually("it answers", async || process.ops("/healthz").await).await;
    assert_eq!(alive, 200);
}

async fn a_statement_waits_for_a_lock(stack: &Stack) {
    let waiting = "SELECT count(*)::text AS text FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement waits", async || (stack.text(waiting).await != "0").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_are_accepted_while_the_broker_is_cut_off_and_drained_after() {
    const RUNS: usize = 20;
    let (stack, proxy) = behind_a_proxy().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let reports = "SELECT count(*)::text AS text FROM workers";
    eventually("the worker reports", async || (stack.text(reports).await == "1").then_some(())).await;
    proxy.cut();
    says_that_the_broker_is_down(&gateway, 200).await;
    says_that_the_broker_is_down(&worker, 503).await;
    let mut ids = Vec::new();
    for number in 0..RUNS {
        ids.push(stack.create_run(&gateway, &format!("run {number}"), None).await);
    }
    let waiting = stack.get(&gateway, &format!("/api/v1/runs/{}", ids[1])).await;
    assert_eq!(
        (&waiting.body["status"], &waiting.body["pending"]["reason"]),
        (&"pending".into(), &"waiting_for_worker".into())
    );
    assert_eq!(
        (&waiting.body["pending"]["ahead"], waiting.headers["retry-after"].to_str().unwrap()),
        (&1.into(), "2")
    );
    proxy.mend();
    eventually("all runs are completed", async || {
        let done = stack.text("SELECT count(*)::text AS text FROM runs WHERE status = 'completed'").await;
        (done == RUNS.to_string()).then_some(())
    })
    .await;
    assert_eq!(stack.model.asked().len(), RUNS, "each run is executed once");
    gateway.becomes_ready().await;
    worker.becomes_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_flight_survives_a_broker_outage() {
    let (stack, proxy) = behind_a_proxy().await;
    // Workers wait two and a half seconds for a lock. The claim may wait as long as its statement may run.
    stack.database.run_sql("ALTER FUNCTION claim_runs_v2 SET lock_timeout = 0").await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let lock = stack.meanwhile("SELECT 1 FROM user_slots FOR UPDATE").await;
    let id = stack.create_run(&gateway, "hello", None).await;
    a_statement_waits_for_a_lock(&stack).await;
    proxy.cut();
    says_that_the_broker_is_down(&worker, 503).await;
    drop(lock);
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &1.into()), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_result_the_database_rejects_still_ends() {
    let stack = Stack::unlimited().await;
    stack.database.run_sql("ALTER TABLE runs ADD CHECK (status <> 'completed')").await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &"internal_error".into()), "{run}");
    assert_eq!((&run["attempt"], stack.model.asked().len()), (&1.into(), 1), "it is not retried endlessly");
}
