//! What the file tools have in common: places, and words for what goes wrong.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tokio_util::task::TaskTracker;

use super::{Invocation, ToolError};
use crate::workspace::{QuotaExceeded, Workspace, WorkspacePath};

/// The run's files.
pub(super) fn workspace(invocation: &Invocation) -> Result<Workspace, ToolError> {
    let none = || ToolError::RespondToModel("This run has no workspace.".to_owned());
    invocation.workspace.clone().ok_or_else(none)
}

/// A path of the model's.
pub(super) fn place(path: &str) -> Result<WorkspacePath, ToolError> {
    WorkspacePath::parse(path).map_err(ToolError::RespondToModel)
}

/// A path of the model's, to be written to.
pub(super) fn writable(path: &str) -> Result<PathBuf, ToolError> {
    place(path)?.writable().map_err(ToolError::RespondToModel)
}

/// In words for the model: it chose the path.
pub(super) fn refused(path: &str, error: &std::io::Error) -> ToolError {
    let why = match (error.kind(), error.raw_os_error().map(Errno::from_raw_os_error)) {
        (ErrorKind::NotFound, _) => "does not exist".to_owned(),
        (ErrorKind::IsADirectory, _) => "is a directory".to_owned(),
        (ErrorKind::NotADirectory, _) => "leads through something that is no directory".to_owned(),
        (_, Some(Errno::XDEV | Errno::LOOP)) => "is a link that leads out of the workspace".to_owned(),
        (ErrorKind::Other, None) => error.to_string(),
        _ => format!("cannot be used: {error}"),
    };
    ToolError::RespondToModel(format!("{path:?} {why}."))
}

/// Something that is not the model's fault happened to the disk.
pub(super) fn broken(error: &std::io::Error) -> ToolError {
    tracing::error!(%error, "a workspace cannot be used");
    ToolError::Fatal(shared::runs::ErrorCode::SandboxError, "the worker's disk cannot be used".to_owned())
}

/// A file or directory takes at least so much.
const BLOCK: u64 = 4096;

/// Whether a file of so many bytes fits at this place.
pub(super) fn has_room(workspace: &Workspace, place: &Path, bytes: u64) -> Result<(), ToolError> {
    let most = workspace.quota();
    let told = |why: String| Err(ToolError::RespondToModel(why));
    let levels = place.components().count();
    if levels > most.depth {
        return told(format!("{}.", QuotaExceeded::Depth(most.depth)));
    }
    // As if none of the directories on its way were there.
    let (more, blocks) = (levels as u64, bytes.div_ceil(BLOCK) + levels as u64);
    match workspace.measure().map_err(|error| broken(&error))? {
        Ok(held) if held.entries + more > most.entries => {
            told(format!("{}.", QuotaExceeded::Entries(most.entries)))
        }
        Ok(held) if held.bytes + blocks * BLOCK <= most.bytes => Ok(()),
        Ok(_) | Err(QuotaExceeded::Bytes(_)) => told(format!(
            "There is no room: the workspace may hold {} bytes. Remove what is not needed.",
            most.bytes
        )),
        Err(exceeded) => told(format!("{exceeded}.")),
    }
}

/// Runs what waits for the disk where it may wait, as one of the tasks of the workspace: it is not closed
/// before they are done.
pub(super) async fn on_disk<T: Send + 'static>(
    tasks: TaskTracker,
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    match tasks.spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(broken(&std::io::Error::other(error))),
    }
}
