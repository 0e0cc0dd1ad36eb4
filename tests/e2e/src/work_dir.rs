//! What the sandboxes of a stack's workers leave, looked at from outside: by the directory that CAPI_WORK_DIR names.

use std::path::Path;

/// Processes whose command line names the directory: bwrap's, without which no other is left.
#[must_use]
pub fn processes_of(work_dir: &Path) -> usize {
    let mark = format!("{}/", work_dir.display());
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&mark)).count()
}

/// Directories of runs, over all workers.
#[must_use]
pub fn runs_in(work_dir: &Path) -> usize {
    let workers = std::fs::read_dir(work_dir).into_iter().flatten().flatten();
    let runs = workers.flat_map(|worker| std::fs::read_dir(worker.path()).into_iter().flatten().flatten());
    runs.filter(|run| run.path().join("workspace").exists()).count()
}
