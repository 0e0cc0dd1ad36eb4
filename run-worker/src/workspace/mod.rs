//! The files of a run: the workspace that its tools work in, the caller's files beside it, and the snapshots from which another worker
//! goes on.

mod beneath;
mod home;
mod inputs;
mod measure;
mod place;
mod remove;
mod snapshot;
mod store;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::ids::RunId;
use shared::storage::StorageError;
use tokio_util::task::TaskTracker;

pub(crate) use beneath::Listed;
pub use beneath::Root;
pub use home::{Home, RunDirs};
pub use inputs::InputFile;
pub use measure::{Allowance, Excess, Measured, measure};
pub use place::Place;
pub use store::Snapshot;

use crate::sandbox::Mounts;

/// For the processes of a run that is let go.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Why a workspace cannot be had, kept or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The local disk.
    #[error("the workspace: {0}")]
    Disk(#[from] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// Other bytes than were stored.
    #[error("the store has other bytes than were written: {0}")]
    Changed(String),
    /// It holds too much.
    #[error("{0}")]
    Excess(Excess),
}

/// The files of one run on this worker. Clones are the same.
#[derive(Clone)]
pub struct Workspace(Arc<Inner>);

struct Inner {
    home: Arc<Home>,
    dirs: RunDirs,
    allowance: Allowance,
    tasks: TaskTracker,
    /// As the last snapshot had it.
    saved: Mutex<Measured>,
}

impl Workspace {
    /// An empty one.
    pub fn make(
        home: &Arc<Home>,
        run: RunId,
        attempt: i32,
        allowance: Allowance,
    ) -> Result<Self, WorkspaceError> {
        let dirs = home.make_run_dirs(&format!("{run}-{attempt}"))?;
        let inner = Inner {
            home: Arc::clone(home),
            dirs,
            allowance,
            tasks: TaskTracker::new(),
            saved: Mutex::default(),
        };
        let workspace = Self(Arc::new(inner));
        workspace.remember(workspace.measure()?.map_err(WorkspaceError::Excess)?);
        Ok(workspace)
    }

    /// For a sandbox.
    #[must_use]
    pub fn mounts(&self) -> Mounts {
        Mounts { workspace: self.0.dirs.workspace.clone(), inputs: self.0.dirs.inputs.clone() }
    }

    /// What it may hold.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.0.allowance
    }

    /// The sandboxes that work in it.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Where the worker keeps a file of its own, out of the sandbox's sight.
    #[must_use]
    pub fn aside(&self, name: &str) -> PathBuf {
        self.0.dirs.run.join(name)
    }

    /// Whom files in it belong to, where that is not the worker's own user.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.0.home.user()
    }

    /// The directory that a place is in, and its path there.
    pub fn root_of(&self, place: Place) -> std::io::Result<(Root, PathBuf)> {
        Ok(match place {
            Place::Workspace(path) => (Root::open(&self.0.dirs.workspace)?, path),
            Place::Inputs(path) => (Root::open(&self.0.dirs.inputs)?, path),
        })
    }

    /// What it holds.
    pub fn measure(&self) -> std::io::Result<Result<Measured, Excess>> {
        measure(&self.0.dirs.workspace, &self.0.allowance)
    }

    fn saved(&self) -> Measured {
        *self.0.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, measured: Measured) {
        *self.0.saved.lock().unwrap_or_else(PoisonError::into_inner) = measured;
    }

    /// Waits until nothing works in it.
    async fn settle(&self) -> std::io::Result<()> {
        // Closed, it can be waited for; it takes tasks all the same.
        self.0.tasks.close();
        let waited = tokio::time::timeout(GONE_WITHIN, self.0.tasks.wait()).await;
        waited.map_err(|_| std::io::Error::other("something still works in it"))
    }

    /// Waits until nothing works in it any more, and removes it.
    pub async fn close(self) {
        if let Err(error) = self.settle().await {
            tracing::error!(%error, "a workspace is removed all the same");
        }
        let inner = self.0;
        let removing = tokio::task::spawn_blocking(move || inner.home.remove(&inner.dirs.run));
        if removing.await.is_err() {
            tracing::error!("a workspace was not removed");
        }
    }
}
