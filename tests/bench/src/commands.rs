//! P7: the time that the sandbox adds to a command.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use run_worker::sandbox::{Interpreter, Job, Parts, Sandbox};
use run_worker::workspace::{Home, Quota, Workspace};
use shared::ids::RunId;
use tokio_util::task::TaskTracker;

use crate::line;

const COMMANDS: usize = 200;
/// The default of the worker.
const USER: u32 = 65_533;

pub(crate) async fn measure() -> anyhow::Result<()> {
    let home = Arc::new(Home::make(std::path::Path::new("/var/tmp"), USER)?);
    let python = std::env::var_os("CAPI_TEST_SANDBOX_PYTHON").map(Into::into);
    let parts = Parts {
        bwrap: "/usr/bin/bwrap".into(),
        entry: e2e::bin_dir().join("sandbox-entry"),
        python,
        supervisor: None,
    };
    let sandbox = Sandbox::open(&parts, &home).await;
    let quota = Quota { bytes: 100 << 20, entries: 10_000, depth: 64 };
    let workspace = Workspace::make(&home, RunId::generate(), 1, quota)?;
    let tasks = TaskTracker::new();
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("main.sh");
    std::fs::write(&script, "true")?;
    let (mut bare, mut inside) = (Vec::new(), Vec::new());
    for _ in 0..COMMANDS {
        let begun = Instant::now();
        Command::new("/usr/bin/bash").arg(&script).stdout(Stdio::null()).status()?;
        bare.push(begun.elapsed().as_secs_f64());
        let job = Job {
            interpreter: Interpreter::Bash,
            script: "true".to_owned(),
            mounts: workspace.mounts(),
            output_file: workspace.private_path("output"),
            time: Duration::from_secs(10),
            quota,
        };
        let begun = Instant::now();
        sandbox.run(job, &tasks).await?;
        inside.push(begun.elapsed().as_secs_f64());
    }
    line("command, bare", &COMMANDS.to_string(), bare);
    line("command, in the sandbox (P7: < 15 ms more)", &COMMANDS.to_string(), inside);
    workspace.close().await;
    home.clear();
    Ok(())
}
