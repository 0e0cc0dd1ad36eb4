//! R1: `kill -9` of a worker, fifty times, with 500 queued runs of several steps.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use e2e::{Process, Service, Stack};
use serde_json::json;
use shared::testing::eventually;

use crate::report::Report;
use crate::run_checks::{check_runs, no_recorded_answer_was_asked_for_again};
use crate::stage::Stage;

const RUNS: usize = 500;
const KILLS: usize = 50;
/// The plan's cap on running runs. Each of the two workers could hold them all, so a permit is free for each
/// takeover.
const RUNNING: usize = 8;
/// Slow enough that the runs last for all kills: each has three steps, eight run at once, and some steps are
/// lost.
const STEP_MS: u64 = 1000;
/// As in the settings of the drills.
const LEASE_SECONDS: u32 = 3;
/// R1 allows 45 s with leases of 30 s. The drill has leases of 3 s, and the reaper polls ten times as often
/// too.
const WITHIN: Duration = Duration::from_millis(4500);

/// Waits until the dead worker holds no run, and each run that it held has recorded a step since.
async fn recovered(stack: &Stack, dead: &str) {
    let waiting = format!(
        "SELECT count(*)::text AS text FROM runs
         WHERE status = 'running' AND (lease_owner = '{dead}' OR losses > 0)"
    );
    eventually("its runs are taken over", async || (stack.text(&waiting).await == "0").then_some(())).await;
}

/// Selects the runs of the dead worker: id, attempt, and the time of the last renewal.
fn held_when(dead: &str) -> String {
    format!(
        "SELECT id || ' ' || attempt || ' ' || extract(epoch FROM lease_expires_at) - {LEASE_SECONDS} AS text
         FROM runs WHERE lease_owner = '{dead}'"
    )
}

/// Returns the time from the last renewal of each run to its next attempt.
async fn takeovers(stack: &Stack, renewed: &[String]) -> Vec<Duration> {
    let sql = "SELECT run_id || ' ' || attempt - 1 || ' ' || extract(epoch FROM at) AS text
               FROM run_events WHERE type = 'run.taken_over'";
    let taken = stack.texts(sql).await;
    let taken: HashMap<&str, f64> = taken.iter().filter_map(|line| key_and_time(line)).collect();
    let renewed = renewed.iter().filter_map(|line| key_and_time(line));
    renewed.filter_map(|(run, at)| Some(Duration::from_secs_f64(taken.get(run)? - at))).collect()
}

fn key_and_time(line: &str) -> Option<(&str, f64)> {
    let (key, time) = line.rsplit_once(' ')?;
    Some((key, time.parse().ok()?))
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R1 kill -9 of workers", WITHIN);
    let stack = stage.stack_of(RUNNING).await;
    let gateway = stack.start(Service::Gateway).await;
    let app = stack.import_with_tools("").await;
    let step = json!({"wait": STEP_MS, "say": "Thinking.", "call": [["current_time", ""]]});
    let script = json!([step, step, {"wait": STEP_MS, "say": "Done."}]);
    let mut accepted = HashSet::new();
    for number in 0..RUNS {
        let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script} run {number}")}});
        let answer = stack.post(&gateway, "/api/v1/runs", &body).await;
        accepted.insert(answer.body["id"].as_str().unwrap_or_default().to_owned());
    }
    let start =
        async || stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &RUNNING.to_string()).await;
    let mut renewed = Vec::new();
    let mut workers: Vec<Process> = vec![start().await, start().await];
    for _ in 0..KILLS {
        let victim = workers.remove(0);
        let id = eventually("the worker logs its name", async || victim.worker_id()).await;
        let held = format!("SELECT count(*)::text AS text FROM runs WHERE lease_owner = '{id}'");
        eventually("the worker holds runs", async || (stack.text(&held).await != "0").then_some(())).await;
        victim.kill().await;
        report.faults += 1;
        renewed.extend(stack.texts(&held_when(&id)).await);
        workers.push(start().await);
        recovered(&stack, &id).await;
    }
    check_runs(&mut report, &stack, &accepted, "completed").await;
    report.recoveries = takeovers(&stack, &renewed).await;
    let attempts = "SELECT max(attempt) || ' attempts at most; ' || count(*) FILTER (WHERE attempt > 1)
                        || ' runs had more than one' AS text FROM runs";
    report.notes.push(stack.text(attempts).await);
    no_recorded_answer_was_asked_for_again(&mut report, &stack).await;
    report
}
