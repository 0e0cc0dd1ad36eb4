//! Reads PDF and Office documents as text. A document is hostile input, and its libraries are large. So a
//! fixed program reads each one in a sandbox of its own, with an empty workspace and the document as its only
//! input. `limits` says what that may cost, and `answer` how it may end.

mod answer;
pub mod csv;
pub(crate) mod encoding;
mod kind;
mod limits;
mod program;

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};
use uuid::Uuid;

use answer::Answer;
pub use kind::DocumentKind;
use limits::{MAX_ANSWER_BYTES, PATIENCE, READS_AT_ONCE, TIME, TURN_PATIENCE};
pub use limits::{MAX_DOCUMENT_BYTES, MAX_READ_TIME};
use program::{ANSWER, DOCUMENT, program};

use crate::sandbox::{EndReason, Execution, Health, Interpreter, Job, Sandbox, SandboxError};
use crate::tools::ToolError;
use crate::workspace::{Quota, Scratch, Workspace};

/// The workspace of a program: its answer, and the mount point of its inputs.
const QUOTA: Quota = Quota { bytes: MAX_ANSWER_BYTES, entries: 16, depth: 4 };

/// The text of a document.
#[derive(Debug, PartialEq, Eq)]
pub struct DocumentText {
    /// At most 1 MiB. Of large tables, the first rows.
    pub text: String,
    /// What the document is and what of it was left out: "PDF, 12 page(s)".
    pub about: String,
}

/// Reads documents, a bounded number at once.
pub struct Documents {
    sandbox: Arc<Sandbox>,
    permits: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to prepare or to read the files of the program: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the program ended without an answer: {0:?}")]
    Ended(EndReason),
    #[error("the program's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the task panicked, or the call was dropped")]
    Task,
}

impl Documents {
    #[must_use]
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, permits: Arc::new(Semaphore::new(READS_AT_ONCE)) }
    }

    /// Reads a document of the run with this workspace. `id` is that of the call. It returns within
    /// [`MAX_READ_TIME`].
    pub async fn read(
        &self,
        workspace: &Workspace,
        id: Uuid,
        file: File,
        kind: DocumentKind,
    ) -> Result<DocumentText, ToolError> {
        let size = file.metadata().as_ref().map_or(0, std::fs::Metadata::len);
        if size > MAX_DOCUMENT_BYTES {
            return refuse(
                kind,
                "too_large",
                format!(
                    "The {kind} document has {size} bytes; at most {MAX_DOCUMENT_BYTES} can be read. Use a \
                     program for a part of it."
                ),
            );
        }
        if let Some(why) = self.unavailable() {
            let why = format!(
                "This worker cannot read {kind} documents: {why}. Tell the user so, or use another source."
            );
            return refuse(kind, "unavailable", why);
        }
        let Ok(turn) = timeout(TURN_PATIENCE, workspace.document_turn().lock_owned()).await else {
            let why = "Other documents of this run are still being read. Read fewer at once, and try again.";
            return refuse(kind, "busy", why.to_owned());
        };
        let Ok(Ok(permit)) = timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await else {
            let why = "The worker is busy with other documents. Try again later.".to_owned();
            return refuse(kind, "busy", why);
        };
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let (sandbox, workspace_of_task) = (Arc::clone(&self.sandbox), workspace.clone());
        let reading = async move {
            let _held = (permit, turn);
            read_in(&sandbox, &workspace_of_task, id, file, kind, stop).await
        };
        let task = workspace.tasks().spawn(reading.in_current_span());
        match task.await.unwrap_or(Err(Failure::Task)) {
            Ok(answer) => {
                count(kind, answer.outcome());
                answer.into_text(kind).map_err(ToolError::RespondToModel)
            }
            Err(error) => {
                tracing::error!(%error, %kind, call_id = %id, "failed to read a document");
                let why = format!(
                    "The worker failed to read the {kind} document. Try again, or use a program instead."
                );
                refuse(kind, "failed", why)
            }
        }
    }

    /// Why this worker reads no documents, if it does not.
    fn unavailable(&self) -> Option<&'static str> {
        match self.sandbox.health() {
            Health::Up | Health::Degraded(_) if self.sandbox.has_python() => None,
            Health::Up | Health::Degraded(_) => Some("Python is not prepared on it"),
            Health::Down(_) => Some("its sandbox does not work"),
            Health::Off => Some("its sandbox is turned off"),
        }
    }
}

fn count(kind: DocumentKind, outcome: &'static str) {
    metrics::counter!("capi_document_reads_total", "kind" => kind.label(), "outcome" => outcome).increment(1);
}

fn refuse<T>(kind: DocumentKind, outcome: &'static str, why: String) -> Result<T, ToolError> {
    count(kind, outcome);
    Err(ToolError::RespondToModel(why))
}

/// Runs the program. A token ends it. Nothing of it is left when this returns.
async fn read_in(
    sandbox: &Sandbox,
    workspace: &Workspace,
    id: Uuid,
    file: File,
    kind: DocumentKind,
    stop: CancellationToken,
) -> Result<Answer, Failure> {
    let (workspace, span) = (workspace.clone(), Span::current());
    let preparing = spawn_blocking(move || {
        span.in_scope(|| {
            let scratch = workspace.scratch(&format!("document-{}", id.simple()))?;
            scratch.give(file, DOCUMENT, MAX_DOCUMENT_BYTES)?;
            Ok::<_, io::Error>(scratch)
        })
    });
    let scratch = preparing.await.map_err(|_| Failure::Task)??;
    let job = Job {
        interpreter: Interpreter::Python,
        script: program(kind),
        mounts: scratch.mounts(),
        output_file: scratch.private_path("output"),
        time: TIME,
        quota: QUOTA,
    };
    let tasks = TaskTracker::new();
    let ended = tokio::select! {
        ended = sandbox.run(job, &tasks) => Some(ended),
        () = stop.cancelled() => None,
    };
    // The sandbox ends its processes within a limit of its own. Until then they use the directories.
    tasks.close();
    tasks.wait().await;
    let span = Span::current();
    let reading = spawn_blocking(move || {
        span.in_scope(|| match ended {
            Some(execution) => answer_of(&execution?, &scratch),
            None => Err(Failure::Task),
        })
    });
    reading.await.map_err(|_| Failure::Task)?
}

/// The answer that the program wrote, or what its end says. This may block.
fn answer_of(execution: &Execution, scratch: &Scratch) -> Result<Answer, Failure> {
    match execution.end {
        EndReason::Exited(0) => {
            let mut text = Vec::new();
            scratch.open(ANSWER)?.take(MAX_ANSWER_BYTES).read_to_end(&mut text)?;
            Ok(serde_json::from_slice(&text)?)
        }
        EndReason::TimedOut(_) => Ok(Answer::TooSlow),
        EndReason::MemoryLimit(_) => Ok(Answer::TooMuchMemory),
        end => Err(Failure::Ended(end)),
    }
}
