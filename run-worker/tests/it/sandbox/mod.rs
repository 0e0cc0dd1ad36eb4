//! Hostile programs in the real sandbox, one small script each (S1 to S6).

mod basics;
mod disk;
mod files;
mod groups;
mod kernel;
mod kit;
mod layers;
mod limits;
mod memory;
mod neighbours;
mod network;
mod ordinary_user;
mod secrets;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use run_worker::sandbox::limits::SandboxLimits;
use run_worker::sandbox::{Execution, Health, Interpreter, Job, Parts, Sandbox};
use run_worker::workspace::{Home, Quota, Workspace};
use shared::ids::RunId;
use tokio_util::task::TaskTracker;

/// A sandbox without a worker.
struct Lab {
    home: Arc<Home>,
    sandbox: Sandbox,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

const QUOTA: Quota = Quota { bytes: 20 << 20, entries: 2000, depth: 20 };

/// Set where cgroup v2 must be delegated to the tests.
const CGROUP2: &str = "CAPI_LAB_CGROUP2";
/// Set where nothing else runs on the machine: only there the machine's memory says something.
const QUIET: &str = "CAPI_LAB_QUIET";

/// The environment variable with the path of the entry, if it is not where cargo put it.
const ENTRY: &str = "CAPI_LAB_ENTRY";

fn parts() -> Parts {
    Parts {
        bwrap: "/usr/bin/bwrap".into(),
        entry: std::env::var_os(ENTRY).unwrap_or_else(|| env!("CARGO_BIN_EXE_sandbox-entry").into()).into(),
        python: std::env::var_os("CAPI_TEST_SANDBOX_PYTHON").map(PathBuf::from),
        supervisor: None,
    }
}

/// Copies a program with a child process. If this process wrote the copy, a child that another test starts
/// meanwhile could keep it open for writing, and the kernel would refuse to execute it.
fn copy_program(program: &Path, copy: &Path) {
    let copied = std::process::Command::new("/bin/cp").args([program, copy]).status().unwrap();
    assert!(copied.success());
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(copy, open).unwrap();
}

impl Lab {
    async fn open() -> Self {
        Self::open_with(&parts()).await
    }

    async fn open_with(parts: &Parts) -> Self {
        Self::open_parts(parts, SandboxLimits::DEFAULT).await
    }

    async fn open_limited(limits: SandboxLimits) -> Self {
        Self::open_parts(&parts(), limits).await
    }

    async fn open_parts(parts: &Parts, limits: SandboxLimits) -> Self {
        // A directory that every user can enter: the sandbox's user must.
        let dir = tempfile::Builder::new().prefix("capi-lab-").tempdir_in("/var/tmp").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let home = Arc::new(Home::make(dir.path(), 65_533).unwrap());
        let sandbox = Sandbox::open_with(parts, &home, limits).await;
        Self { home, sandbox, tasks: TaskTracker::new(), _dir: dir }
    }

    /// Whether this machine does not offer this layer.
    fn lacks(&self, layer: &str) -> bool {
        matches!(self.sandbox.health(), Health::Degraded(missing) if missing.contains(&layer))
    }

    fn workspace(&self) -> Workspace {
        Workspace::make(&self.home, RunId::generate(), 1, QUOTA).unwrap()
    }

    fn job(workspace: &Workspace, interpreter: Interpreter, script: &str) -> Job {
        Job {
            interpreter,
            script: script.to_owned(),
            mounts: workspace.mounts(),
            output_file: workspace.private_path(&format!("output-{}", RunId::generate())),
            // Long: commands are nice, so they are slow on a busy machine.
            time: Duration::from_mins(5),
            quota: QUOTA,
        }
    }

    /// Runs a bash script for at most this many seconds. Checks that no process is left.
    async fn bash(&self, workspace: &Workspace, seconds: u64, script: &str) -> Execution {
        let job =
            Job { time: Duration::from_secs(seconds), ..Self::job(workspace, Interpreter::Bash, script) };
        let execution = self.run(job).await;
        assert_eq!(processes(workspace), Vec::<String>::new(), "after {script}");
        execution
    }

    async fn run(&self, job: Job) -> Execution {
        self.sandbox.run(job, &self.tasks).await.unwrap()
    }

    /// Runs a script in its own workspace and returns what it prints.
    async fn printed(&self, interpreter: Interpreter, script: &str) -> String {
        let workspace = self.workspace();
        let execution = self.run(Self::job(&workspace, interpreter, script)).await;
        workspace.close().await;
        execution.output.shown("…")
    }
}

/// The bwrap processes of the workspace. The kernel ends all processes of a sandbox with its bwrap.
fn processes(workspace: &Workspace) -> Vec<String> {
    let mark = workspace.mounts().workspace.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&mark))
        .collect()
}
