//! R1: `kill -9` of workers with 500 queued runs of several steps and the default lease. Of fifty deaths, a
//! third hits the worker alone, a third its supervisor, with which it ends, and a third both at once. Then
//! one worker dies that shares no directory with the others, as in another machine: only its leases tell.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use e2e::{Process, Service, Signal, Stack, new_work_dir};
use serde_json::json;
use shared::testing::eventually;

use crate::report::Report;
use crate::run_checks::{check_runs, no_recorded_answer_was_asked_for_again};
use crate::stage::Stage;

const RUNS: usize = 500;
const KILLS: usize = 50;
const WORKERS: usize = 3;
/// The plan's cap on running runs. The other workers have a free permit for each run of a dead one. A worker
/// takes over one suspect at a time, so a dead worker must not hold many.
const RUNNING: usize = 6;
const PERMITS: usize = 3;
/// Slow enough that the runs last for all kills: each has three steps, six run at once, and some steps are
/// lost.
const STEP_MS: u64 = 600;
const LEASE_SECONDS: &str = "30";
/// R1, where the process is known to be dead.
const WITHIN: Duration = Duration::from_secs(3);
/// R1, where only the lease tells.
const LEASE_WITHIN: Duration = Duration::from_secs(45);

/// What dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Death {
    Worker,
    Supervisor,
    Both,
}

impl Death {
    const ALL: [Self; 3] = [Self::Worker, Self::Supervisor, Self::Both];

    const fn shown(self) -> &'static str {
        match self {
            Self::Worker => "worker killed",
            Self::Supervisor => "supervisor killed",
            Self::Both => "both killed",
        }
    }

    async fn of(self, victim: Process) {
        match self {
            Self::Worker => {
                victim.kill_worker().await;
            }
            Self::Supervisor => victim.kill().await,
            Self::Both => {
                victim.signal(Signal::KILL);
                victim.kill().await;
            }
        }
    }
}

/// The runs that a worker held when it died: id and attempt.
struct Held {
    runs: Vec<String>,
    /// The database's time, in seconds since 1970.
    died: f64,
}

/// Kills a worker that holds runs.
async fn kill(stack: &Stack, victim: Process, death: Death) -> Held {
    let id = eventually("the worker logs its name", async || victim.worker_id()).await;
    let held = format!("SELECT id || ' ' || attempt AS text FROM runs WHERE lease_owner = '{id}'");
    eventually("the worker holds runs", async || (!stack.texts(&held).await.is_empty()).then_some(())).await;
    let clock = "SELECT extract(epoch FROM capi_now())::text AS text";
    let died = stack.text(clock).await.parse().unwrap_or_default();
    let runs = stack.texts(&held).await;
    death.of(victim).await;
    Held { runs, died }
}

/// Waits until each run that the worker held has a later attempt or is over, and has recorded a step since.
async fn recovered(stack: &Stack, held: &Held) {
    let waiting = "SELECT id || ' ' || attempt AS text FROM runs WHERE status = 'running'";
    eventually("its runs are taken over", async || {
        let open = stack.texts(waiting).await;
        held.runs.iter().all(|run| !open.contains(run)).then_some(())
    })
    .await;
    let suspects = "SELECT count(*)::text AS text FROM runs WHERE status = 'running' AND losses > 0";
    eventually("they record steps", async || (stack.text(suspects).await == "0").then_some(())).await;
}

/// Returns the time from each death to the next attempt of each run that the worker held. A run that ended
/// just before has none.
async fn takeovers(stack: &Stack, deaths: &[Held]) -> Vec<Duration> {
    let sql = "SELECT run_id || ' ' || attempt - 1 || ' ' || extract(epoch FROM at) AS text
               FROM run_events WHERE type = 'run.taken_over'";
    let lines = stack.texts(sql).await;
    let taken: HashMap<&str, f64> = lines
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(run, at)| Some((run, at.parse().ok()?)))
        .collect();
    let times = deaths.iter().flat_map(|held| held.runs.iter().map(|run| (run, held.died)));
    times
        .filter_map(|(run, died)| Some(Duration::from_secs_f64((taken.get(run.as_str())? - died).max(0.0))))
        .collect()
}

fn shown(what: &str, times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default().as_secs_f64();
    format!(
        "{what}: {} runs, next attempt after {:.2} s (median), {:.2} s (maximum)",
        sorted.len(),
        at(sorted.len() / 2),
        at(sorted.len().saturating_sub(1))
    )
}

async fn start(stack: &Stack, work_dir: &str) -> Process {
    let mut settings = stack.settings_with("CAPI_WORKER_CONCURRENCY", &PERMITS.to_string());
    settings.push(("CAPI_WORK_DIR".to_owned(), work_dir.to_owned()));
    Process::start(Service::RunWorker, &settings).await
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("R1 kill -9 of workers", WITHIN);
    let mut stack = stage.stack_of(RUNNING).await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", LEASE_SECONDS);
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
    let common = new_work_dir();
    let common = common.path().display().to_string();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start(&stack, &common).await);
    }
    let mut deaths = [const { Vec::<Held>::new() }; Death::ALL.len()];
    for number in 0..KILLS {
        let kind = number % Death::ALL.len();
        let held = kill(&stack, workers.remove(0), Death::ALL[kind]).await;
        report.faults += 1;
        workers.push(start(&stack, &common).await);
        recovered(&stack, &held).await;
        deaths[kind].push(held);
    }
    let by_lease = only_the_lease_tells(&stack, &common, &mut workers).await;
    report.faults += 1;
    check_runs(&mut report, &stack, &accepted, "completed").await;
    for (death, held) in Death::ALL.into_iter().zip(&deaths) {
        let times = takeovers(&stack, held).await;
        report.must(!times.is_empty(), || format!("{}: no run was taken over", death.shown()));
        report.notes.push(shown(death.shown(), &times));
        report.recoveries.extend(times);
    }
    let times = takeovers(&stack, &[by_lease]).await;
    report.notes.push(shown("only the lease tells", &times));
    let slowest = times.iter().max().copied();
    report.must(slowest.is_some_and(|time| time <= LEASE_WITHIN), || format!("by lease: {slowest:?}"));
    let attempts = "SELECT max(attempt) || ' attempts at most; ' || count(*) FILTER (WHERE attempt > 1)
                        || ' runs had more than one' AS text FROM runs";
    report.notes.push(stack.text(attempts).await);
    no_recorded_answer_was_asked_for_again(&mut report, &stack).await;
    report
}

/// Kills a worker and its supervisor where no other worker sees its lock.
async fn only_the_lease_tells(stack: &Stack, common: &str, workers: &mut Vec<Process>) -> Held {
    let own = new_work_dir();
    // In its place. The runs that it gives back are taken over without a loss.
    if let Some(mut other) = workers.pop() {
        other.terminate().await;
    }
    let alone = start(stack, &own.path().display().to_string()).await;
    let held = kill(stack, alone, Death::Both).await;
    workers.push(start(stack, common).await);
    recovered(stack, &held).await;
    held
}
