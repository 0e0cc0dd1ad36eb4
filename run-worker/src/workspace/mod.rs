//! The files of a run: the workspace that its tools work in, the caller's files, and the snapshots from which
//! another worker continues.

mod adopt;
mod home;
mod inputs;
mod measure;
mod mounts;
mod over_full;
mod path;
mod remove;
mod root_dir;
mod scratch;
mod snapshot;
mod store;
mod tar_snapshot;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use shared::ids::RunId;
use shared::storage::StorageError;
use tokio_util::task::TaskTracker;
use tracing::Span;

pub use home::{Abandoned, Home, RunDirs};
pub use inputs::InputFile;
pub use measure::{Measured, Quota, QuotaExceeded, measure};
pub use mounts::{INSIDE, Mounts};
pub use over_full::OverFull;
pub use path::WorkspacePath;
pub(crate) use root_dir::ListedFile;
pub use root_dir::RootDir;
pub(crate) use scratch::Scratch;
use snapshot::Tagger;
use store::Saved;
pub use store::{Format, Snapshot};

/// The time that the tasks in a workspace get to end, once their run has ended or was released.
const TASKS_END_WITHIN: Duration = Duration::from_secs(30);

/// Why a workspace cannot be made, saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("failed to use the worker's disk: {0}")]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error("an object in the store differs from what was written: {0}")]
    Changed(String),
    #[error("{0}")]
    QuotaExceeded(QuotaExceeded),
}

/// The files of one run on this worker. Clones share them.
#[derive(Clone)]
pub struct Workspace(Arc<Inner>);

/// Holds the workspace of a run, once it is made, for the code that closes it.
pub type WorkspaceSlot = OnceLock<Workspace>;

struct Inner {
    home: Arc<Home>,
    dirs: RunDirs,
    quota: Quota,
    tasks: TaskTracker,
    tagger: Tagger,
    /// Of the last snapshot.
    saved: Mutex<Saved>,
    document_turn: Arc<tokio::sync::Mutex<()>>,
}

impl Workspace {
    /// Makes an empty workspace.
    pub fn make(home: &Arc<Home>, run: RunId, attempt: i32, quota: Quota) -> Result<Self, WorkspaceError> {
        let dirs = home.make_run_dirs(&format!("{run}-{attempt}"))?;
        let (home, tasks, tagger) = (Arc::clone(home), TaskTracker::new(), Tagger::new()?);
        let (saved, document_turn) = (Mutex::default(), Arc::default());
        Ok(Self(Arc::new(Inner { home, dirs, quota, tasks, tagger, saved, document_turn })))
    }

    #[must_use]
    pub fn mounts(&self) -> Mounts {
        Mounts { workspace: self.0.dirs.workspace.clone(), inputs: self.0.dirs.inputs.clone() }
    }

    #[must_use]
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// The sandboxes and file operations that work in it.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Held by the one call of the run that reads a document.
    pub(crate) fn document_turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.0.document_turn)
    }

    /// The path for a file of the worker that no sandbox sees.
    #[must_use]
    pub fn private_path(&self, name: &str) -> PathBuf {
        self.0.dirs.run.join(name)
    }

    /// The owner of its files, if that is not the worker's own user.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.0.home.user()
    }

    /// Opens the directory that `path` is in. Also returns the path relative to it.
    pub fn open_root(&self, path: WorkspacePath) -> std::io::Result<(RootDir, PathBuf)> {
        Ok(match path {
            WorkspacePath::Workspace(path) => (RootDir::open(&self.0.dirs.workspace)?, path),
            WorkspacePath::Inputs(path) => (RootDir::open(&self.0.dirs.inputs)?, path),
        })
    }

    pub fn measure(&self) -> std::io::Result<Result<Measured, QuotaExceeded>> {
        measure(&self.0.dirs.workspace, &self.0.quota)
    }

    fn tagger(&self) -> &Tagger {
        &self.0.tagger
    }

    fn saved(&self) -> MutexGuard<'_, Saved> {
        self.0.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_tasks(&self) -> std::io::Result<()> {
        // Only a closed tracker can be waited for. It still accepts tasks.
        self.0.tasks.close();
        let waited = tokio::time::timeout(TASKS_END_WITHIN, self.0.tasks.wait()).await;
        waited.map_err(|_| std::io::Error::other("tasks in the workspace did not end in time"))
    }

    /// Waits until no task works in it, and removes it.
    pub async fn close(self) {
        if let Err(error) = self.wait_for_tasks().await {
            tracing::error!(%error, "removing a workspace although tasks work in it");
        }
        let (inner, span) = (self.0, Span::current());
        let removing =
            tokio::task::spawn_blocking(move || span.in_scope(|| inner.home.remove(&inner.dirs.run)));
        if removing.await.is_err() {
            tracing::error!("failed to remove a workspace: the task panicked");
        }
    }
}
