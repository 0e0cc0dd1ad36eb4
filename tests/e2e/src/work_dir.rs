//! What the sandboxes of workers leave behind, found by the directory of CAPI_WORK_DIR.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes a directory for CAPI_WORK_DIR. Every user may enter it.
#[must_use]
pub fn new_work_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("capi-work-").tempdir_in("/var/tmp");
    let dir = dir.expect("a directory can be made");
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), all).expect("its mode can be set");
    dir
}

/// The number of processes whose command line names the directory. These are bwrap's; all others of a sandbox
/// end with them.
#[must_use]
pub fn processes_of(work_dir: &Path) -> usize {
    let mark = format!("{}/", work_dir.display());
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&mark)).count()
}

/// The number of runs' directories, over all workers.
#[must_use]
pub fn runs_in(work_dir: &Path) -> usize {
    let workers = std::fs::read_dir(work_dir).into_iter().flatten().flatten();
    let runs = workers.flat_map(|worker| std::fs::read_dir(worker.path()).into_iter().flatten().flatten());
    runs.filter(|run| run.path().join("workspace").exists()).count()
}
