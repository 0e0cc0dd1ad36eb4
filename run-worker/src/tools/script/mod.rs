//! The common part of `shell` and `python`: runs a script in the sandbox and describes how it ended
//! (`words`). A command that reaches a limit is a result like others: the model gets what was printed and
//! what to do. The workspace may be over its limit before and after a command (`room`).
//!
//! Both are repeatable: a command can only affect the workspace, and a new attempt starts with the workspace
//! as it was before the call.

mod room;
mod words;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::runs::ErrorCode;
use tokio::time::Instant;

use super::files::{check_room, disk_error, on_disk, workspace_of};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::sandbox::limits::SandboxLimits;
use crate::sandbox::{EndReason, Execution, Health, Interpreter, Job, Sandbox, SandboxError};
use crate::workspace::{Workspace, WorkspacePath};
pub(crate) use words::is_failed_command;

/// The longest script, and time to start and to clean up.
const TIMEOUT: Duration = Duration::from_mins(11);
const MAX_SCRIPT_BYTES: usize = 256 << 10;
const MAX_RESULT_BYTES: usize = 24 << 10;

pub(super) struct Script {
    spec: Spec,
    sandbox: Arc<Sandbox>,
    interpreter: Interpreter,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The whole script
    script: String,
    /// The script is ended after this many seconds; 120 if absent
    #[schemars(range(min = 1, max = SandboxLimits::DEFAULT.max_time.as_secs()))]
    timeout_seconds: Option<u64>,
}

impl Script {
    pub(super) fn new(
        sandbox: Arc<Sandbox>,
        interpreter: Interpreter,
        name: &'static str,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        let spec = Spec {
            name,
            description: description.into(),
            parameters: arguments::schema::<Arguments>(),
            repeatable: true,
            files: Files::Changes,
            timeout: TIMEOUT,
            max_result_bytes: MAX_RESULT_BYTES,
        };
        Self { spec, sandbox, interpreter }
    }

    async fn run(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let workspace = workspace_of(&invocation)?;
        let id = invocation.id.simple().to_string();
        let Arguments { script, timeout_seconds } = arguments::read(invocation.arguments)?;
        if script.len() > MAX_SCRIPT_BYTES {
            let why =
                format!("The script is longer than {MAX_SCRIPT_BYTES} bytes; write files and run those.");
            return Err(ToolError::RespondToModel(why));
        }
        let limits = SandboxLimits::DEFAULT;
        let time = timeout_seconds.map_or(limits.default_time, |asked| Duration::from_secs(asked.max(1)));
        let time = time.min(limits.max_time);
        let left = invocation.calls_end.saturating_duration_since(Instant::now());
        let quota = room::quota_to_begin(&workspace).await?;
        let job = Job {
            interpreter: self.interpreter,
            script,
            mounts: workspace.mounts(),
            output_file: workspace.private_path(&format!("output-{id}")),
            time: time.min(left),
            quota,
        };
        let execution = self.sandbox.run(job, workspace.tasks()).await.map_err(|error| failed(&error))?;
        count(execution.end);
        let kept = keep_long_output(&execution, &workspace, &id).await?;
        let over_full = room::over_full(&workspace).await?;
        let ended = words::Ended {
            execution: &execution,
            kept: kept.as_deref(),
            is_cut_short: left < time,
            was_over_full: quota != workspace.quota(),
            over_full: over_full.as_deref(),
        };
        Ok(Output::of_text(ended.text(MAX_RESULT_BYTES)))
    }
}

impl Tool for Script {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.run(invocation).boxed()
    }

    fn unavailable(&self) -> Option<String> {
        match self.sandbox.health() {
            Health::Up | Health::Degraded(_) => {
                let unprepared = self.interpreter == Interpreter::Python && !self.sandbox.has_python();
                unprepared
                    .then(|| "Python is not prepared on this worker; see CAPI_SANDBOX_PYTHON".to_owned())
            }
            Health::Down(missing) => Some(format!("the worker's sandbox lacks: {}", missing.join(", "))),
            Health::Off => Some("the operator has turned the sandbox off".to_owned()),
        }
    }
}

fn failed(error: &SandboxError) -> ToolError {
    metrics::counter!("capi_sandbox_failures_total").increment(1);
    tracing::error!(%error, "failed to run a sandbox");
    ToolError::Fatal(ErrorCode::SandboxError, "the worker's sandbox failed to start".to_owned())
}

fn count(end: EndReason) {
    let ended = match end {
        EndReason::Exited(0) => "exit_0",
        EndReason::Exited(_) => "exit_other",
        EndReason::TimedOut(_) => "timed_out",
        EndReason::OutputLimit(_) => "output_limit",
        EndReason::MemoryLimit(_) => "memory_limit",
        EndReason::SocketLimit(_) => "socket_limit",
        EndReason::LockLimit(_) => "lock_limit",
        EndReason::TmpEntries(_) => "tmp_entries",
        EndReason::WriteLimit(_) => "write_limit",
        EndReason::MachineMemory => "machine_memory",
        EndReason::MachineDisk => "machine_disk",
        EndReason::HiddenFiles(_) => "hidden_files",
        EndReason::Quota(_) => "quota",
        EndReason::Cancelled => "cancelled",
    };
    metrics::counter!("capi_sandbox_commands_total", "outcome" => ended).increment(1);
}

/// Writes a long output to a file of the workspace. Returns its path there, or none if there is no room.
async fn keep_long_output(
    execution: &Execution,
    workspace: &Workspace,
    id: &str,
) -> Result<Option<String>, ToolError> {
    let Some(source) = execution.output.file().map(ToOwned::to_owned) else { return Ok(None) };
    let (workspace, path) = (workspace.clone(), format!("output/{}.txt", &id[id.len() - 12..]));
    on_disk(workspace.tasks().clone(), move || {
        let copy = |mut source: fs::File| -> io::Result<()> {
            let (root, target) = workspace.open_root(WorkspacePath::Workspace(path.clone().into()))?;
            root.write(&target, &mut source, 0o644, workspace.owner()).map(drop)
        };
        let size = fs::metadata(&source).map_err(|error| disk_error(&error))?.len();
        // A script may have put something else at the path.
        let kept = check_room(&workspace, path.as_ref(), size).is_ok()
            && fs::File::open(&source).and_then(copy).is_ok();
        fs::remove_file(&source).map_err(|error| disk_error(&error))?;
        Ok(kept.then_some(path))
    })
    .await
}
