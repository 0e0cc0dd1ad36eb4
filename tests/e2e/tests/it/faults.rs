//! What happens when something dies.

use std::time::Instant;

use e2e::{Service, Signal, Stack, new_work_dir};
use shared::testing::{WAIT_LIMIT, WebhookReceiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_costs_the_step_and_not_the_run() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD this", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    // Its only permit is in a slot that waits for nudges: nothing may depend on a free one.
    let _other = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "1").await;
    doomed.kill().await;
    eventually("the model's stream is closed", async || (stack.model.holding() == 0).then_some(())).await;
    stack.model.release();

    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &2.into()), "{run}");
    assert_eq!(stack.model.asked().len(), 2, "the answer that was lost is asked for again, once");
    assert_eq!(
        stack.model.asked()[0].1["messages"],
        stack.model.asked()[1].1["messages"],
        "from the log, word for word"
    );
    let log = "SELECT string_agg(type || ' ' || attempt, ', ' ORDER BY seq) AS text FROM run_events";
    assert_eq!(
        stack.text(log).await,
        "run.created 0, run.started 1, message 1, run.taken_over 2, message 2, run.completed 2"
    );
}

/// The longest lease, so that only the death itself can be the reason of a takeover.
async fn with_the_longest_lease() -> Stack {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "300");
    stack
}

/// R1: a supervisor outlives its worker.
#[tokio::test(flavor = "multi_thread")]
async fn r1_the_supervisor_of_a_killed_worker_ends_its_leases() {
    let mut stack = with_the_longest_lease().await;
    // The other workers do not see that the lock of the dead one is free.
    let dirs = [(); 2].map(|()| new_work_dir());
    let gateway = stack.start(Service::Gateway).await;
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &dirs[0].path().display().to_string());
    let doomed = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD this", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &dirs[1].path().display().to_string());
    let _other = stack.start(Service::RunWorker).await;
    assert_eq!(doomed.kill_worker().await, Some(137), "128 and SIGKILL");
    eventually("the other worker asks", async || (stack.model.asked().len() == 2).then_some(())).await;
    stack.model.release();
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &2.into()), "{run}");
    let losses = "SELECT data ->> 'losses' AS text FROM run_events WHERE type = 'run.taken_over'";
    assert_eq!(stack.text(losses).await, "1", "it counts as a loss");
}

/// R1: the supervisor died too, but other workers of the machine see that the lock is free.
#[tokio::test(flavor = "multi_thread")]
async fn r1_another_worker_ends_the_leases_of_one_that_died_with_its_supervisor() {
    let (mut stack, dir) = (with_the_longest_lease().await, new_work_dir());
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &dir.path().display().to_string());
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD this", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    let other = stack.start(Service::RunWorker).await;
    doomed.kill().await;
    eventually("the other worker asks", async || (stack.model.asked().len() == 2).then_some(())).await;
    stack.model.release();
    assert_eq!(stack.ended(&gateway, &id).await["attempt"], 2);
    assert_eq!(other.counter("capi_dead_neighbours_total").await, 1.0);
}

/// The kernel ends the worker with its supervisor: otherwise nothing would ever report its death.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_with_its_supervisor() {
    let stack = with_the_longest_lease().await;
    let worker = stack.start(Service::RunWorker).await;
    let pid = worker.working_pid().unwrap();
    assert_ne!(worker.pid(), Some(pid), "it has a supervisor");
    worker.kill().await;
    eventually("the worker has ended", async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_idles_takes_over_too() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD this", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    let _busy = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", "1").await;
    doomed.kill().await;
    stack.model.release();
    let path = format!("/api/v1/runs/{id}");
    let begun = Instant::now();
    while begun.elapsed() < WAIT_LIMIT {
        stack.create_run(&gateway, "another", None).await;
        if stack.get(&gateway, &path).await.body["status"] == "completed" {
            return;
        }
    }
    panic!("the abandoned run waits while others are executed");
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_stopping_worker_gives_its_runs_back_without_a_loss_and_takes_nothing_new() {
    const RUNS: usize = 10;
    let stack = Stack::unlimited().await.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    let mut leaving = stack.start(Service::RunWorker).await;
    let id = stack.create_run(&gateway, "HOLD this", None).await;
    for _ in 1..RUNS {
        stack.create_run(&gateway, "HOLD", None).await;
    }
    eventually("the model is asked", async || (stack.model.holding() == RUNS).then_some(())).await;
    let mut worker = stack.start(Service::RunWorker).await;
    assert!(leaving.terminate().await, "it ends well: {}", leaving.log());
    eventually("the other worker asks", async || (stack.model.asked().len() == 2 * RUNS).then_some(())).await;
    assert_eq!(stack.text("SELECT sum(losses)::text AS text FROM runs").await, "0");

    worker.signal(Signal::TERM);
    eventually("it drains", async || {
        (stack.text("SELECT count(*)::text AS text FROM workers").await == "0").then_some(())
    })
    .await;
    let late = stack.create_run(&gateway, "hello", None).await;
    assert!(worker.terminate().await, "it ends well: {}", worker.log());
    let late = stack.get(&gateway, &format!("/api/v1/runs/{late}")).await.body;
    assert_eq!((&late["status"], &late["pending"]["reason"]), (&"pending".into(), &"no_worker_ready".into()));

    stack.model.release();
    let _last = stack.start(Service::RunWorker).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &3.into()), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_a_run_that_loses_every_worker_fails_in_the_end() {
    // The supervisor of a killed worker ends its leases. A lease that expires by itself is one more loss.
    let stack = Stack::unlimited().await.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let id = stack.create_run(&gateway, "HOLD this", Some(&receiver.url())).await;
    let (mut asked, mut beside) = (0, Vec::new());
    for round in 0..3 {
        let worker = stack.start(Service::RunWorker).await;
        asked += 1;
        eventually("the model is asked", async || (stack.model.asked().len() == asked).then_some(())).await;
        // The third time the run is alone.
        for _ in 0..[2, 2, 0][round] {
            let neighbour = stack.create_run(&gateway, "hello", None).await;
            assert_eq!(stack.ended(&gateway, &neighbour).await["status"], "completed");
            beside.push(neighbour);
            asked += 1;
        }
        if round == 2 {
            beside.push(stack.create_run(&gateway, "hello", None).await);
            let isolated = async || (worker.counter("capi_runs_isolated_total").await >= 1.0).then_some(());
            eventually("the run is alone", isolated).await;
        }
        worker.kill_worker().await;
    }
    let _last = stack.start(Service::RunWorker).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["errorCode"]), (&"failed".into(), &"worker_lost".into()), "{run}");
    assert_eq!(run["error"]["retryable"], true);
    for neighbour in &beside {
        assert_eq!(stack.ended(&gateway, neighbour).await["status"], "completed");
    }
    assert_eq!(stack.model.asked().len(), 3 + beside.len());
    let told = eventually("its webhook", async || receiver.received().pop()).await;
    assert_eq!(told.json()["type"], "run.failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_ten_releases_in_a_row_fail_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let app = stack.import_with_tools("").await;
    // Nothing new is recorded by any of them.
    let script = serde_json::json!([
        {"say": "First.", "call": [["current_time", ""]]}, {"hold": true, "say": "Last."},
    ]);
    let body = serde_json::json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    let id = stack.create_run_of(&gateway, &body).await;
    for attempt in 1..=10 {
        let mut worker = stack.start(Service::RunWorker).await;
        eventually("the model holds its answer", async || {
            (stack.model.asked().len() == attempt + 1).then_some(())
        })
        .await;
        assert!(worker.terminate().await, "it ends well: {}", worker.log());
    }
    stack.model.release();
    let _last = stack.start(Service::RunWorker).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["result"]["text"], &run["attempt"]), (&"Last.".into(), &11.into()), "{run}");
    assert_eq!(stack.text("SELECT losses::text AS text FROM runs").await, "0");
    assert_eq!(stack.model.asked().len(), 12, "the first answer was asked for once");
}
