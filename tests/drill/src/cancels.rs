//! R15: how long a worker continues a cancelled run while the broker is up, and how long the processes of its
//! command live.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack, processes_of};
use serde_json::json;
use shared::testing::{PageServer, eventually};

use crate::commands::{APP, create, script, stack_with_work_dir, wait_until_clean};
use crate::report::Report;
use crate::run_checks::check_runs;
use crate::stage::Stage;

const RUNS: usize = 100;
const WITHIN: Duration = Duration::from_millis(200);
/// Runs that are cancelled in a command, one after the other.
const COMMANDS: usize = 10;
/// The longest time between the request and the end of the last process.
const PROCESSES_WITHIN: Duration = Duration::from_secs(1);
/// Time for the tree of processes to start.
const TREE_GROWS: Duration = Duration::from_millis(400);
/// A tree of processes that ignore SIGTERM.
const TREE: &str = "trap '' TERM; for _ in 1 2 3; do (trap '' TERM; setsid sleep 1000 &); done; sleep 1000";

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R15 cancels reach the worker", WITHIN);
    let (mut stack, work) = stack_with_work_dir(stage).await;
    // The lease is so long that no heartbeat finds a cancel.
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "120");
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &RUNS.to_string()).await;
    let (pages, app) = (PageServer::start().await, stack.import_with_tools("").await);
    let fetch = json!({"url": pages.url("/never")}).to_string();
    let text = format!("SCRIPT {}", json!([{"call": [["fetch_url", fetch]]}]));
    let in_a_tool = json!({"appId": app, "inputs": {"text": text}});
    let mut accepted = HashSet::new();
    for _ in 0..RUNS / 2 {
        accepted.insert(stack.create_run(&gateway, "HOLD", None).await);
        let created = stack.post(&gateway, "/api/v1/runs", &in_a_tool).await;
        accepted.insert(created.body["id"].as_str().unwrap_or_default().to_owned());
    }
    let held = || stack.model.holding() + pages.holding();
    eventually("all runs are held", async || (held() == RUNS).then_some(())).await;
    for id in &accepted {
        let answer = stack.post(&gateway, &format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
        report.must(answer.status == 200, || format!("a cancel was answered {}", answer.status));
        report.faults += 1;
    }
    eventually("all streams are closed", async || (held() == 0).then_some(())).await;
    let unreleased = "SELECT count(*)::text AS text FROM runs WHERE released_at IS NULL";
    eventually("all are released", async || (stack.text(unreleased).await == "0").then_some(())).await;
    let took = "SELECT extract(epoch FROM released_at - completed_at)::text AS text FROM runs";
    let took = stack.texts(took).await;
    report.recoveries =
        took.iter().filter_map(|text| text.parse().ok()).map(Duration::from_secs_f64).collect();
    cancel_commands(&mut report, &stack, &gateway, &work, &mut accepted).await;
    check_runs(&mut report, &stack, &accepted, "cancelled").await;
    let _ = std::fs::remove_dir_all(&work);
    report
}

async fn cancel_commands(
    report: &mut Report,
    stack: &Stack,
    gateway: &Process,
    work: &Path,
    accepted: &mut HashSet<String>,
) {
    let app = stack.import(APP).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..COMMANDS {
        let id = create(stack, gateway, &app, &script(TREE, 60)).await;
        eventually("the command runs", async || (processes_of(work) > 0).then_some(())).await;
        tokio::time::sleep(TREE_GROWS).await;
        let begun = Instant::now();
        stack.post(gateway, &format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
        wait_until_clean(work).await;
        slowest = slowest.max(begun.elapsed());
        report.faults += 1;
        accepted.insert(id);
    }
    report.notes.push(format!("the processes of a command were gone {slowest:.2?} after its cancel at most"));
    report.must(slowest < PROCESSES_WITHIN, || format!("processes lived {slowest:.2?} after a cancel"));
}
