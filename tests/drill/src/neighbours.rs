//! S2, neighbours: how long whole runs take beside a command that uses up what it can. The drill measures
//! runs alone and runs beside the command in turns, a few at a time: other load on the machine then affects
//! both.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack, processes_of};
use serde_json::{Value, json};
use shared::testing::eventually;

use crate::commands::{APP, create, script, stack_with_work_dir, wait_until_clean, wait_until_idle};
use crate::report::Report;
use crate::run_checks::count;
use crate::stage::Stage;

const TURNS: usize = 20;
/// Runs of a turn, one after another, alone; and as many beside the command.
const RUNS: usize = 40;
/// Time for a command to reach its full load, and for the services to become idle again.
const SETTLES: Duration = Duration::from_millis(400);
/// How many times as long the p95 may be with a cgroup for each command.
const WITH_CGROUPS: f64 = 1.2;
/// The same where commands are only nice.
const ONLY_NICE: f64 = 4.0;

const GREEDY: [(&str, &str); 4] = [
    ("a fork bomb", ":(){ :|:& };:; sleep 100"),
    ("60 busy loops", "for _ in $(seq 60); do (while :; do :; done) & done; wait"),
    ("a disk filler", "while :; do head -c 40M /dev/zero > a; rm a; done"),
    ("endless output", "while :; do head -c 1000 /dev/zero; sleep 0.0001; done"),
];

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("S2 neighbours", Duration::from_secs(20));
    let (stack, work) = stack_with_work_dir(stage).await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = stack.import(APP).await;
    let bar = bar(&worker).await;
    report.notes.push(format!("the bar of this machine: p95 < {bar} times as long as alone"));
    let mut accepted = HashSet::new();
    measure(&stack, &gateway, &mut accepted).await;
    for (name, command) in GREEDY {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            tokio::time::sleep(SETTLES).await;
            alone.extend(measure(&stack, &gateway, &mut accepted).await);
            let id = create(&stack, &gateway, &app, &script(command, 60)).await;
            begun(&work).await;
            beside.extend(measure(&stack, &gateway, &mut accepted).await);
            report.must(processes_of(&work) > 0, || {
                format!("{name} had ended before the runs beside it were over")
            });
            stack.post(&gateway, &format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
            report.faults += 1;
            report.recoveries.push(wait_until_clean(&work).await);
            wait_until_idle(&stack).await;
            accepted.insert(id);
        }
        alone.sort();
        beside.sort();
        compare(&mut report, name, bar, &alone, &beside);
    }
    count(&mut report, &stack, &accepted).await;
    drop(worker);
    let _ = std::fs::remove_dir_all(&work);
    report
}

/// The bar depends on whether cgroup v2 is delegated to the worker; its readiness says so.
async fn bar(worker: &Process) -> f64 {
    let (_, readiness) = worker.ops("/readyz").await.expect("a ready worker answers");
    let readiness: Value = serde_json::from_str(&readiness).expect("readiness is JSON");
    let missing = readiness["sandbox"]["missing"].as_array().expect("readiness lists the missing layers");
    if missing.iter().any(|layer| layer == "cgroup" || layer == "cpu_cgroup") {
        ONLY_NICE
    } else {
        WITH_CGROUPS
    }
}

async fn begun(work: &Path) {
    eventually("the command runs", async || (processes_of(work) > 0).then_some(())).await;
    tokio::time::sleep(SETTLES).await;
}

/// How long each run of a turn took, from the request to the answer with the run's end.
async fn measure(stack: &Stack, gateway: &Process, accepted: &mut HashSet<String>) -> Vec<Duration> {
    let mut samples = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
        let answer = stack.send(request.header("prefer", "wait=30").json(&body)).await;
        samples.push(begun.elapsed());
        assert_eq!(answer.body["status"], "completed", "{answer:?}");
        accepted.insert(answer.body["id"].as_str().expect("a run has an id").to_owned());
    }
    samples
}

/// The samples are sorted.
fn compare(report: &mut Report, name: &str, bar: f64, alone: &[Duration], beside: &[Duration]) {
    let (p50, p50_beside) = (percentile(alone, 50), percentile(beside, 50));
    let (p95, p95_beside) = (percentile(alone, 95), percentile(beside, 95));
    let slower = p95_beside.as_secs_f64() / p95.as_secs_f64();
    report.notes.push(format!(
        "beside {name}: p95 of a run {p95_beside:.1?}, alone {p95:.1?} ({slower:.2} times); \
         p50 {p50_beside:.1?}, alone {p50:.1?}"
    ));
    report.must(slower < bar, || format!("{name}: neighbours are slowed {slower:.2} times"));
}

fn percentile(samples: &[Duration], percent: usize) -> Duration {
    samples[samples.len() * percent / 100]
}
