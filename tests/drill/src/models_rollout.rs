//! Rollout of the models file: one worker has the old file, in which the model of forty runs is missing, and
//! one has the new file. All runs must complete.

use std::collections::HashSet;
use std::time::Duration;

use e2e::{Process, Service, new_work_dir};
use tokio::time::Instant;

use crate::report::Report;
use crate::run_checks::check_runs;
use crate::stage::Stage;

const RUNS: usize = 40;
/// From the first create to the last end. A run that the wrong worker took waits for a second or two.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("rollout of the models file", WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let new = std::fs::read_to_string(stack.setting("CAPI_MODELS")).expect("the stack wrote the models file");
    let old = new.replace("id = \"scripted\"", "id = \"former\"");
    report.must(old != new, || "the old file has the model too".to_owned());
    let dir = new_work_dir();
    let path = dir.path().join("models.toml");
    std::fs::write(&path, old).expect("a file can be written");
    let old_settings = stack.settings_with("CAPI_MODELS", &path.display().to_string());
    // Alone at first, so that it certainly takes runs.
    let behind = Process::start(Service::RunWorker, &old_settings).await;
    let begun = Instant::now();
    let mut accepted = HashSet::new();
    report.faults += 1;
    for number in 0..RUNS {
        accepted.insert(stack.create_run(&gateway, &format!("hello {number}"), None).await);
    }
    let _ahead = stack.start(Service::RunWorker).await;
    check_runs(&mut report, &stack, &accepted, "completed").await;
    report.recoveries.push(begun.elapsed());
    let given_back = behind.counter("capi_runs_sent_elsewhere_total").await;
    report.must(given_back > 0.0, || "the worker with the old file took no run".to_owned());
    let attempts = stack.text("SELECT max(attempt)::text AS text FROM runs").await;
    report.notes.push(format!("given back {given_back} times, at most {attempts} attempts of a run"));
    let losses = stack.text("SELECT max(losses)::text AS text FROM runs").await;
    report.must(losses == "0", || "a run that was given back counts as lost".to_owned());
    report
}
