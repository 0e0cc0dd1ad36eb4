//! What the tools for files share: paths, error messages for the model, and room in the workspace.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use shared::runs::ErrorCode;
use tokio_util::task::TaskTracker;
use tracing::Span;

use super::{Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::workspace::{QuotaExceeded, Workspace, WorkspacePath};

/// A tool that consists of one blocking function over the run's files.
pub(super) struct FileTool<A> {
    pub(super) spec: Spec,
    pub(super) run: fn(&Workspace, A) -> Result<String, ToolError>,
}

impl<A: DeserializeOwned + Send + 'static> Tool for FileTool<A> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        async move {
            let workspace = workspace_of(&invocation)?;
            let (run, arguments) = (self.run, arguments::read(invocation.arguments)?);
            let tasks = workspace.tasks().clone();
            Ok(Output::of_text(on_disk(tasks, move || run(&workspace, arguments)).await?))
        }
        .boxed()
    }
}

pub(super) fn workspace_of(invocation: &Invocation) -> Result<Workspace, ToolError> {
    let none = || ToolError::RespondToModel("This run has no workspace.".to_owned());
    invocation.workspace.clone().ok_or_else(none)
}

pub(super) fn readable(path: &str) -> Result<WorkspacePath, ToolError> {
    WorkspacePath::parse(path).map_err(ToolError::RespondToModel)
}

pub(super) fn writable(path: &str) -> Result<PathBuf, ToolError> {
    readable(path)?.writable().map_err(ToolError::RespondToModel)
}

/// For errors that depend on the path, which the model chose.
pub(super) fn message_of(path: &str, error: &std::io::Error) -> ToolError {
    let path = shortened(path);
    let why = match (error.kind(), error.raw_os_error().map(Errno::from_raw_os_error)) {
        (ErrorKind::NotFound, _) => "does not exist; list_files shows what there is".to_owned(),
        (ErrorKind::IsADirectory, _) => {
            return ToolError::RespondToModel(format!(
                "{path:?} is a directory; call list_files with path {path:?} to see the files in it."
            ));
        }
        (ErrorKind::NotADirectory, _) => {
            "goes through a file as if it were a directory; list_files shows what there is".to_owned()
        }
        (_, Some(Errno::XDEV | Errno::LOOP)) => "is a link that leads out of the workspace".to_owned(),
        (ErrorKind::Other, None) => error.to_string(),
        _ => format!("cannot be used: {error}"),
    };
    ToolError::RespondToModel(format!("{path:?} {why}."))
}

/// Characters of a path in an error message.
const MAX_SHOWN_PATH: usize = 200;

fn shortened(path: &str) -> String {
    path.chars().take(MAX_SHOWN_PATH).collect()
}

/// Entries of the workspace in which a missing file is searched for, and files that its error names.
const SEARCHED: usize = 2000;
const MAX_NAMED: usize = 3;

/// The error for a file that cannot be opened. It names files of the same name elsewhere.
pub(super) fn not_opened(workspace: &Workspace, path: &str, error: &std::io::Error) -> ToolError {
    let found = if error.kind() == ErrorKind::NotFound { alike(workspace, path) } else { Vec::new() };
    if found.is_empty() {
        return message_of(path, error);
    }
    let found: Vec<_> = found.iter().map(|path| format!("{path:?}")).collect();
    let why = format!("{:?} does not exist; there is {}.", shortened(path), found.join(", "));
    ToolError::RespondToModel(why)
}

/// Files whose name is the same, but for the case of its letters.
fn alike(workspace: &Workspace, path: &str) -> Vec<String> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let wanted = name(path);
    let dirs =
        [(WorkspacePath::Inputs(PathBuf::new()), "inputs/"), (WorkspacePath::Workspace(PathBuf::new()), "")];
    let listed = dirs.into_iter().flat_map(|(dir, prefix)| {
        let listed = workspace.open_root(dir).and_then(|(root, dir)| root.list(&dir, SEARCHED));
        let files = listed.map(|(files, _)| files).unwrap_or_default();
        files.into_iter().map(move |file| format!("{prefix}{}", file.path))
    });
    listed.filter(|file| name(file) == wanted).map(|file| shortened(&file)).take(MAX_NAMED).collect()
}

/// For errors of the disk, which the model cannot avoid.
pub(super) fn disk_error(error: &std::io::Error) -> ToolError {
    tracing::error!(%error, "failed to use a workspace");
    ToolError::Fatal(ErrorCode::SandboxError, "the worker's disk cannot be used".to_owned())
}

/// The least that a file or directory takes on disk.
const BLOCK: u64 = 4096;

/// Checks whether the workspace has room for a file of this size at this path.
pub(super) fn check_room(workspace: &Workspace, path: &Path, bytes: u64) -> Result<(), ToolError> {
    let quota = workspace.quota();
    let refuse = |why: String| Err(ToolError::RespondToModel(why));
    let levels = path.components().count();
    if levels > quota.depth {
        return refuse(format!("{}.", QuotaExceeded::Depth(quota.depth)));
    }
    // As if all directories of the path were missing.
    let (entries, blocks) = (levels as u64, bytes.div_ceil(BLOCK) + levels as u64);
    match workspace.measure().map_err(|error| disk_error(&error))? {
        Ok(used) if used.entries + entries > quota.entries => {
            refuse(format!("{}.", QuotaExceeded::Entries(quota.entries)))
        }
        Ok(used) if used.bytes + blocks * BLOCK <= quota.bytes => Ok(()),
        Ok(_) | Err(QuotaExceeded::Bytes(_)) => refuse(format!(
            "There is no room: the workspace may hold {} bytes. Remove what is not needed.",
            quota.bytes
        )),
        Err(exceeded) => refuse(format!("{exceeded}.")),
    }
}

/// Runs blocking work as a task of the workspace, which is not closed before the task ends.
pub(super) async fn on_disk<T: Send + 'static>(
    tasks: TaskTracker,
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let span = Span::current();
    match tasks.spawn_blocking(move || span.in_scope(work)).await {
        Ok(done) => done,
        Err(error) => Err(disk_error(&std::io::Error::other(error))),
    }
}
