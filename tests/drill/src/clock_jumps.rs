//! The database's clock jumps. Ahead by more than a lease, five times, while two workers hold twenty runs:
//! none of them may be taken over. Then back by an hour, just after a worker died: its runs may not wait for
//! an hour. After each jump some runs are created, which must be executed, and their webhooks sent.

use std::collections::HashSet;
use std::time::Duration;

use e2e::{Process, Service, Stack, new_work_dir};
use shared::testing::{WebhookReceiver, eventually};
use tokio::time::Instant;

use crate::report::Report;
use crate::run_checks::check_runs;
use crate::stage::Stage;

const RUNS: usize = 20;
const JUMPS: u32 = 5;
/// As in the settings of the drills.
const LEASE: Duration = Duration::from_secs(3);
/// The runs hold the model, so every lease lives from its renewals alone.
const AHEAD: Duration = Duration::from_secs(4);
const BACK: Duration = Duration::from_hours(1);
/// After a jump no worker takes over for one lease. The dead worker's leases last for another one, and each
/// worker takes few suspects at once.
const WITHIN: Duration = Duration::from_secs(20);

/// Runs with webhooks after each jump. They are instant.
const AFTER_A_JUMP: usize = 5;
/// From the end of these runs to the last of their webhooks.
const SENT_WITHIN: Duration = Duration::from_secs(5);

async fn count(stack: &Stack, condition: &str) -> usize {
    let sql = format!("SELECT count(*)::text AS text FROM {condition}");
    stack.text(&sql).await.parse().unwrap_or_default()
}

/// A worker of which no other one sees that it is dead.
async fn start(stack: &Stack, work_dir: &std::path::Path) -> Process {
    let mut settings = stack.settings_with("CAPI_WORKER_CONCURRENCY", &RUNS.to_string());
    settings.push(("CAPI_WORK_DIR".to_owned(), work_dir.display().to_string()));
    Process::start(Service::RunWorker, &settings).await
}

/// Creates runs with webhooks, and waits for both. Returns the runs.
async fn runs_with_webhooks(
    report: &mut Report,
    stack: &Stack,
    (gateway, receiver): (&Process, &WebhookReceiver),
) -> Vec<String> {
    let (hook, before, begun) = (receiver.url(), receiver.count(), Instant::now());
    let mut runs = Vec::new();
    for _ in 0..AFTER_A_JUMP {
        runs.push(stack.create_run(gateway, "hello", Some(&hook)).await);
    }
    let open = "runs WHERE completed_at IS NULL AND webhook_url IS NOT NULL";
    eventually("the new runs are over", async || (count(stack, open).await == 0).then_some(())).await;
    report.recoveries.push(begun.elapsed());
    let over = Instant::now();
    let all = before + AFTER_A_JUMP;
    eventually("their webhooks arrive", async || (receiver.count() >= all).then_some(())).await;
    let took = over.elapsed();
    report.must(took < SENT_WITHIN, || format!("webhooks arrived {took:.1?} after their runs"));
    runs
}

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("the database's clock jumps", WITHIN);
    let stack = stage.stack().await;
    // So that it can jump back.
    stack.database.set_clock_ahead(BACK).await;
    let gateway = stack.start(Service::Gateway).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    let with = (&gateway, &receiver);
    let dirs = [new_work_dir(), new_work_dir()];
    let (doomed, worker) = (start(&stack, dirs[0].path()).await, start(&stack, dirs[1].path()).await);
    let mut accepted = HashSet::new();
    for number in 0..RUNS {
        accepted.insert(stack.create_run(&gateway, &format!("HOLD {number}"), None).await);
    }
    eventually("all runs hold the model", async || (stack.model.holding() == RUNS).then_some(())).await;
    // So that the lane has served before the jumps.
    accepted.extend(runs_with_webhooks(&mut report, &stack, with).await);
    for jump in 1..=JUMPS {
        stack.database.set_clock_ahead(BACK + AHEAD * jump).await;
        report.faults += 1;
        accepted.extend(runs_with_webhooks(&mut report, &stack, with).await);
        // Longer than the pause, so that the workers take over again before the next jump.
        tokio::time::sleep(LEASE * 2).await;
    }
    let taken = count(&stack, "run_events WHERE type = 'run.taken_over'").await;
    report.must(taken == 0, || format!("{taken} living runs were taken over after jumps ahead"));
    // Requests say less: the model's timeout repeats those that it holds for long.
    let again = count(&stack, "runs WHERE attempt > 1").await;
    report.must(again == 0, || format!("{again} living runs were begun again after jumps ahead"));
    let noticed = worker.counter("capi_database_clock_jumps_total").await;
    report.must(noticed >= f64::from(JUMPS), || format!("the worker noticed {noticed} jumps of {JUMPS}"));

    let id = eventually("the worker logs its name", async || doomed.worker_id()).await;
    let of_the_dead = format!("runs WHERE status = 'running' AND lease_owner = '{id}'");
    let held = count(&stack, &of_the_dead).await;
    report.must(held > 0, || "the worker that dies holds no runs".to_owned());
    let _next = start(&stack, dirs[1].path()).await;
    doomed.kill().await;
    stack.database.set_clock_ahead(Duration::ZERO).await;
    report.faults += 1;
    let jumped = Instant::now();
    eventually("its runs are taken over", async || (count(&stack, &of_the_dead).await == 0).then_some(()))
        .await;
    report.recoveries.push(jumped.elapsed());
    accepted.extend(runs_with_webhooks(&mut report, &stack, with).await);
    report.notes.push(format!("{held} runs of a dead worker were taken over after a jump back by an hour"));
    let losses = count(&stack, "runs WHERE losses > 1").await;
    report.must(losses == 0, || format!("{losses} runs lost more than the dead worker"));
    stack.model.release();
    check_runs(&mut report, &stack, &accepted, "completed").await;
    report
}
