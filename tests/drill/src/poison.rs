//! R12: three runs that kill their worker 0.3 s after each start, beside 50 honest runs of other accounts, on
//! three workers.

use std::collections::HashSet;
use std::time::Duration;

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::eventually;
use tokio::time::Instant;

use crate::report::Report;
use crate::run_checks::count;
use crate::stage::Stage;

const POISON: usize = 3;
const HONEST: usize = 50;
const HONEST_ACCOUNTS: usize = 5;
const WORKERS: usize = 3;
/// Each worker could hold all runs, so each loss hits many neighbours.
const CONCURRENCY: &str = "64";
/// Longer than a poisonous run lets its worker live, so that no neighbour records a step in time.
const STEP_MS: u64 = 2000;
const FUSE: Duration = Duration::from_millis(300);
/// A poisonous run is taken so often: among many, as a suspect, and alone.
const LOSSES: usize = 3;
const DEADLINE: Duration = Duration::from_mins(3);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R12 poison beside honest runs", DEADLINE);
    let stack = stage.stack_of(HONEST + POISON).await;
    let gateway = stack.start(Service::Gateway).await;
    let step = json!({"wait": STEP_MS, "say": "Once.", "call": [["current_time", ""]]});
    let script = format!("SCRIPT {}", json!([step, step, {"wait": STEP_MS, "say": "Done."}]));
    let mut accepted = HashSet::new();
    for number in 0..HONEST_ACCOUNTS {
        let (email, runs) = (format!("honest{number}@capi.test"), HONEST / HONEST_ACCOUNTS);
        accepted.extend(stack.runs_of(&gateway, &email, "drill", &script, runs).await);
    }
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start(&stack).await);
    }
    let running = "SELECT count(*)::text AS text FROM runs WHERE status = 'running'";
    let all = async || (stack.text(running).await == HONEST.to_string()).then_some(());
    eventually("all honest runs are running", all).await;
    for _ in 0..POISON {
        accepted.insert(stack.create_run(&gateway, "HOLD", None).await);
    }
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE && !poison_is_over(&stack).await {
        report.faults += usize::from(kill_a_poisoned(&stack, &mut workers).await);
    }
    count(&mut report, &stack, &accepted).await;
    report.recoveries.push(begun.elapsed());
    report.must(report.faults <= POISON * LOSSES, || "a poisonous run killed too often".to_owned());
    let ends = "SELECT concat_ws(' ', CASE WHEN inputs ->> 'text' = 'HOLD' THEN 'poison' ELSE 'honest' END,
                    status, error_code, count(*)) AS text
                FROM runs GROUP BY inputs ->> 'text' = 'HOLD', status, error_code ORDER BY 1";
    let ends = stack.texts(ends).await;
    let expected = [format!("honest completed {HONEST}"), format!("poison failed worker_lost {POISON}")];
    report.must(ends == expected, || format!("ends: {}", ends.join(", ")));
    let most = "SELECT 'at most ' || max(attempt) || ' attempts of an honest run' AS text
                FROM runs WHERE status = 'completed'";
    report.notes.push(stack.text(most).await);
    report
}

async fn start(stack: &Stack) -> Process {
    stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", CONCURRENCY).await
}

async fn poison_is_over(stack: &Stack) -> bool {
    let open = "SELECT count(*)::text AS text FROM runs
                WHERE inputs ->> 'text' = 'HOLD' AND completed_at IS NULL";
    stack.text(open).await == "0"
}

/// Kills a worker whose poisonous run is old enough, and starts another one.
async fn kill_a_poisoned(stack: &Stack, workers: &mut Vec<Process>) -> bool {
    tokio::time::sleep(FUSE / 6).await;
    let burnt = format!(
        "SELECT r.lease_owner AS text FROM runs r
         JOIN run_events e ON e.run_id = r.id AND e.attempt = r.attempt
             AND e.type IN ('run.started', 'run.taken_over')
         WHERE r.status = 'running' AND r.inputs ->> 'text' = 'HOLD' AND r.lease_expires_at > capi_now()
             AND e.at < capi_now() - interval '{} ms'",
        FUSE.as_millis()
    );
    for owner in stack.texts(&burnt).await {
        if let Some(at) = workers.iter().position(|worker| worker.worker_id().as_ref() == Some(&owner)) {
            workers.remove(at).kill().await;
            workers.push(start(stack).await);
            return true;
        }
    }
    false
}
