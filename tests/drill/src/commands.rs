//! S2, in the long run: a thousand runs with commands, some of them hostile, on one worker. They must leave
//! no process, directory, descriptor or object, and must not use up memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack, processes_of, runs_in};
use serde_json::json;
use shared::testing::eventually;

use crate::report::Report;
use crate::run_checks::check_runs;
use crate::stage::Stage;

const RUNS: usize = 1000;
const SIDE_BY_SIDE: usize = 8;
/// Runs before the measurement: they fill the pools and the allocator's caches.
const WARM_UP: usize = 100;
/// Seconds that a command may take.
const LIMIT: u64 = 1;
/// The longest time between that limit and the end of the run.
const PAST_LIMIT: Duration = Duration::from_secs(5);
const MORE_FILES: usize = 10;
const MORE_MEMORY_MB: u64 = 30;

/// An app with the tool shell.
pub(crate) const APP: &str = r#"
name = "Commands"
prompt = "{{ text }}"
tools = ["shell"]
[[inputs]]
name = "text"
type = "text"
"#;

/// Every tenth run gets the next of these.
const HOSTILE: [&str; 5] = [
    ":(){ :|:& };:; sleep 100",
    "(setsid nohup sleep 1000 > /dev/null 2>&1 &)
     (trap '' TERM; setsid sleep 1000 < /dev/null > /dev/null 2>&1 &); echo left",
    "head -c 30M /dev/zero | tr '\\0' x",
    "trap '' TERM INT; while :; do :; done",
    "mkdir a; cd a; ln -s / root; mkfifo f; chmod 0 ../a; exit 3",
];

/// A prompt that makes the test model call shell once.
pub(crate) fn script(command: &str, seconds: u64) -> String {
    let call = json!({"script": command, "timeout_seconds": seconds}).to_string();
    format!("SCRIPT {}", json!([{"call": [["shell", call]]}, {"say": "Done."}]))
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("S2 commands leave nothing", Duration::from_secs(20));
    let (stack, work) = stack_with_work_dir(stage).await;
    let gateway = stack.start(Service::Gateway).await;
    let worker =
        stack.start_with(Service::RunWorker, "CAPI_WORKER_CONCURRENCY", &SIDE_BY_SIDE.to_string()).await;
    let app = stack.import(APP).await;
    let mut accepted = HashSet::new();
    soak(&stack, &gateway, &app, WARM_UP, &mut accepted).await;
    let (files, memory) = (open_files(&worker), worker.resident_mb());
    let begun = Instant::now();
    soak(&stack, &gateway, &app, RUNS, &mut accepted).await;
    let took = begun.elapsed();
    report.faults = RUNS / 10;
    report.recoveries.push(wait_until_clean(&work).await);
    let (files_after, memory_after) = (open_files(&worker), worker.resident_mb());
    report.notes.push(format!(
        "{RUNS} runs in {:.0} s; open files {files} → {files_after}, resident {memory} → {memory_after} MB",
        took.as_secs_f64()
    ));
    report
        .must(files_after <= files + MORE_FILES, || format!("open files grew from {files} to {files_after}"));
    report.must(memory_after <= memory + MORE_MEMORY_MB, || {
        format!("memory grew from {memory} to {memory_after} MB")
    });
    let longest = "SELECT max(extract(epoch FROM completed_at - started_at))::float8::text AS text FROM runs";
    let longest = Duration::from_secs_f64(stack.text(longest).await.parse().unwrap_or(1e9));
    report.notes.push(format!("the longest run took {longest:.1?}; a command may take {LIMIT} s"));
    report.must(longest < Duration::from_secs(LIMIT) + PAST_LIMIT, || format!("a run took {longest:.1?}"));
    report.must(objects(&stack) == 0, || format!("{} objects are left in the store", objects(&stack)));
    check_runs(&mut report, &stack, &accepted, "completed").await;
    drop(worker);
    let _ = std::fs::remove_dir_all(&work);
    report
}

/// Starts a stack. Also returns the directory of its workers' workspaces.
pub(crate) async fn stack_with_work_dir(stage: &Stage) -> (Stack, PathBuf) {
    let mut stack = stage.stack().await;
    let work = std::env::temp_dir().join(format!("capi-drill-{}", std::process::id()));
    std::fs::create_dir_all(&work).expect("a directory can be made");
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &work.display().to_string());
    (stack, work)
}

/// Creates runs, never more than 50 at once, and waits for all of them.
async fn soak(stack: &Stack, gateway: &Process, app: &str, runs: usize, accepted: &mut HashSet<String>) {
    for number in 0..runs {
        let command = match number % 10 {
            9 => HOSTILE[number / 10 % HOSTILE.len()],
            _ => "seq 1 2000 > numbers; sort -rn numbers | md5sum; mkdir -p deep/er; cp numbers deep/er",
        };
        accepted.insert(create(stack, gateway, app, &script(command, LIMIT)).await);
        if number % 50 == 49 {
            wait_until_idle(stack).await;
        }
    }
    wait_until_idle(stack).await;
}

pub(crate) async fn create(stack: &Stack, gateway: &Process, app: &str, text: &str) -> String {
    let body = json!({"appId": app, "inputs": {"text": text}});
    let answer = stack.post(gateway, "/api/v1/runs", &body).await;
    answer.body["id"].as_str().expect("the run is accepted").to_owned()
}

/// Waits until no run is open.
pub(crate) async fn wait_until_idle(stack: &Stack) {
    let open = "SELECT count(*)::text AS text FROM runs WHERE status IN ('pending', 'running')";
    let deadline = Instant::now() + Duration::from_mins(3);
    while stack.text(open).await != "0" {
        assert!(Instant::now() < deadline, "runs are still open after 3 minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until no process and no directory of a run is left. Returns the time that this took.
pub(crate) async fn wait_until_clean(work: &Path) -> Duration {
    let begun = Instant::now();
    eventually("nothing is left", async || (processes_of(work) + runs_in(work) == 0).then_some(())).await;
    begun.elapsed()
}

fn objects(stack: &Stack) -> usize {
    let runs = std::fs::read_dir(stack.artifacts_dir().join("runs")).into_iter().flatten().flatten();
    let attempts = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten().flatten());
    attempts.map(|attempt| std::fs::read_dir(attempt.path()).map_or(0, Iterator::count)).sum()
}

fn open_files(worker: &Process) -> usize {
    worker
        .working_pid()
        .and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok())
        .map_or(0, Iterator::count)
}
