//! What `shell` and `python` have in common: a script in the sandbox, and its end in words.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use shared::runs::ErrorCode;
use shared::text::CleanText;

use super::files::{broken, has_room, on_disk, workspace};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::sandbox::limits::SandboxLimits;
use crate::sandbox::{EndReason, Execution, Health, Interpreter, Job, Sandbox};
use crate::workspace::{Workspace, WorkspacePath};

/// The longest script, and what it takes to start and to put away.
const TIMEOUT: Duration = Duration::from_mins(11);
/// Bytes of a script.
const MAX_SCRIPT_BYTES: usize = 256 << 10;
const MAX_RESULT_BYTES: usize = 24 << 10;

/// A tool that runs scripts in one language.
pub(super) struct Script {
    spec: Spec,
    sandbox: Arc<Sandbox>,
    interpreter: Interpreter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    script: String,
    timeout_seconds: Option<u64>,
}

/// Why no script can be run at all.
fn unavailable(sandbox: &Sandbox) -> Option<String> {
    match sandbox.health() {
        Health::Up | Health::Degraded(_) => None,
        Health::Down(missing) => Some(format!("the worker's sandbox lacks: {}", missing.join(", "))),
        Health::Off => Some("the operator has turned the sandbox off".to_owned()),
    }
}

impl Script {
    /// `language` is what the model is told that a script is.
    pub(super) fn new(
        sandbox: Arc<Sandbox>,
        interpreter: Interpreter,
        name: &'static str,
        description: &'static str,
        language: &str,
    ) -> Self {
        let limits = SandboxLimits::default();
        let (usual, most) = (limits.default_time.as_secs(), limits.max_time.as_secs());
        let timeout = format!("After so many seconds the script is ended; {usual} if absent");
        let spec = Spec {
            name,
            description,
            parameters: json!({
                "type": "object",
                "properties": {
                    "script": {"type": "string", "description": language},
                    "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": most, "description": timeout},
                },
                "required": ["script"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::Changes,
            timeout: TIMEOUT,
            max_result_bytes: MAX_RESULT_BYTES,
        };
        Self { spec, sandbox, interpreter }
    }

    async fn run(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let workspace = workspace(&invocation)?;
        let id = invocation.id.simple().to_string();
        let Arguments { script, timeout_seconds } = arguments::read(invocation.arguments)?;
        if script.len() > MAX_SCRIPT_BYTES {
            let why =
                format!("The script is longer than {MAX_SCRIPT_BYTES} bytes; write files and run those.");
            return Err(ToolError::RespondToModel(why));
        }
        let limits = self.sandbox.limits().copied().unwrap_or_default();
        let time = timeout_seconds.map_or(limits.default_time, |asked| Duration::from_secs(asked.max(1)));
        let job = Job {
            interpreter: self.interpreter,
            script,
            mounts: workspace.mounts(),
            output_file: workspace.private_path(&format!("output-{id}")),
            time: time.min(limits.max_time),
            quota: workspace.quota(),
        };
        let execution = self.sandbox.run(job, workspace.tasks()).await.map_err(|error| {
            metrics::counter!("capi_sandbox_failures_total").increment(1);
            tracing::error!(%error, run_id = %invocation.run, "a sandbox failed");
            ToolError::Fatal(ErrorCode::SandboxError, "the worker's sandbox failed to start".to_owned())
        })?;
        tell(&execution);
        if let EndReason::Quota(exceeded) = execution.end {
            return Err(ToolError::Fatal(ErrorCode::WorkspaceLimitExceeded, exceeded.to_string()));
        }
        let kept = keep(&execution, &workspace, &id).await?;
        Ok(Output { text: in_words(&execution, kept.as_deref()), artifact: None })
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
        let unprepared = self.interpreter == Interpreter::Python && !self.sandbox.has_python();
        let missing = "Python is not prepared on this worker; see CAPI_SANDBOX_PYTHON";
        unavailable(&self.sandbox).or_else(|| unprepared.then(|| missing.to_owned()))
    }
}

fn tell(execution: &Execution) {
    let ended = match execution.end {
        EndReason::Exited(0) => "exit_0",
        EndReason::Exited(_) => "exit_other",
        EndReason::TimedOut(_) => "timed_out",
        EndReason::OutputLimit(_) => "output_limit",
        EndReason::MemoryLimit(_) => "memory_limit",
        EndReason::Quota(_) => "quota",
        EndReason::Cancelled => "cancelled",
    };
    metrics::counter!("capi_sandbox_commands_total", "outcome" => ended).increment(1);
}

/// A long output becomes a file of the workspace; its path there.
async fn keep(execution: &Execution, workspace: &Workspace, id: &str) -> Result<Option<String>, ToolError> {
    let Some(whole) = execution.output.file().map(ToOwned::to_owned) else { return Ok(None) };
    let (workspace, path) = (workspace.clone(), format!("output/{}.txt", &id[id.len() - 12..]));
    let keeping = on_disk(workspace.tasks().clone(), move || {
        let size = std::fs::metadata(&whole).map_err(|error| broken(&error))?.len();
        let fits = has_room(&workspace, path.as_ref(), size);
        let kept = fits
            .map_err(|_| std::io::Error::other("no room"))
            .and_then(|()| std::fs::File::open(&whole))
            .and_then(|mut file| {
                let (root, place) = workspace.open_root(WorkspacePath::Workspace(path.clone().into()))?;
                root.write(&place, &mut file, 0o644, workspace.owner())
            });
        std::fs::remove_file(&whole).map_err(|error| broken(&error))?;
        // A script may have put something else in its way.
        Ok(kept.ok().map(|_| path))
    });
    keeping.await
}

fn in_words(execution: &Execution, kept: Option<&str>) -> String {
    let end = match execution.end {
        EndReason::Exited(code @ 129..=192) => format!("exit code {code} (ended by signal {})", code - 128),
        EndReason::Exited(code) => format!("exit code {code}"),
        EndReason::TimedOut(time) => format!("ended by capi: it was not done after {} s", time.as_secs()),
        EndReason::OutputLimit(most) => format!("ended by capi: it printed more than {most} bytes"),
        EndReason::MemoryLimit(most) => format!("ended by capi: it used more than {most} bytes of memory"),
        EndReason::Quota(_) | EndReason::Cancelled => "ended by capi".to_owned(),
    };
    let total = execution.output.total();
    let between = match kept {
        Some(path) => format!("[… of {total} bytes the middle is left out; all of it is in {path} …]"),
        None => format!("[… of {total} bytes the middle is left out …]"),
    };
    let printed = execution.output.shown(&between);
    let printed = if printed.is_empty() { "[nothing was printed]" } else { printed.as_str() };
    CleanText::new(&format!("{end}, {:.1} s\n{printed}", execution.took.as_secs_f64()), MAX_RESULT_BYTES)
        .into_string()
}
