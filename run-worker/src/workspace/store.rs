//! Saves snapshots of the workspace to the store, and restores them for the next attempt.

use shared::ids::RunId;
use shared::runs::events::StoredSnapshot;
use shared::storage::{Artifacts, ObjectKey, StorageError};
use tokio::fs::File;

use super::snapshot::{pack, unpack};
use super::{Workspace, WorkspaceError};

/// A snapshot in the store, as an event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub key: ObjectKey,
    /// In hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

impl Snapshot {
    /// For an event.
    #[must_use]
    pub fn stored(&self) -> StoredSnapshot {
        StoredSnapshot { key: self.key.to_string(), sha256: self.sha256.clone(), size: self.size }
    }

    /// From an event. `None` if the key is not one of the run's snapshots.
    #[must_use]
    pub fn read(run: RunId, stored: &StoredSnapshot) -> Option<Self> {
        let key = ObjectKey::read_snapshot(run, &stored.key)?;
        Some(Self { key, sha256: stored.sha256.clone(), size: stored.size })
    }
}

impl Workspace {
    /// Stores a snapshot under `key` if the workspace changed since the last one.
    pub async fn save(&self, store: &Artifacts, key: ObjectKey) -> Result<Option<Snapshot>, WorkspaceError> {
        self.wait_for_tasks().await?;
        let (workspace, file) = (self.clone(), self.private_path("snapshot"));
        let packing = self.tasks().spawn_blocking(move || {
            let measured = workspace.measure()?.map_err(WorkspaceError::QuotaExceeded)?;
            if measured == workspace.saved() {
                return Ok::<_, WorkspaceError>(None);
            }
            pack(&workspace.mounts().workspace, &file)?;
            Ok(Some((file, measured)))
        });
        let Some((file, measured)) = packing.await.map_err(std::io::Error::other)?? else { return Ok(None) };
        let (packed, mut upload) = (File::open(&file).await?, store.upload(&key).await?);
        upload.write_from(packed).await.map_err(|error| match error {
            StorageError::Read(error) => WorkspaceError::Disk(error),
            error => WorkspaceError::Store(error),
        })?;
        let stored = upload.finish().await?;
        tokio::fs::remove_file(&file).await?;
        self.remember(measured);
        metrics::counter!("capi_workspace_snapshots_total").increment(1);
        metrics::counter!("capi_workspace_snapshot_bytes_total").increment(stored.size);
        Ok(Some(Snapshot { key, sha256: stored.sha256, size: stored.size }))
    }

    /// Fills the empty workspace with exactly the content of the snapshot.
    pub async fn restore(&self, store: &Artifacts, snapshot: &Snapshot) -> Result<(), WorkspaceError> {
        let file = self.private_path("snapshot");
        let written = super::inputs::download(store, &snapshot.key, &file, snapshot.size).await?;
        if written != snapshot.sha256 {
            return Err(WorkspaceError::Changed(snapshot.key.to_string()));
        }
        let workspace = self.clone();
        let unpacking = self.tasks().spawn_blocking(move || {
            unpack(&file, &workspace.mounts().workspace, &workspace.quota(), workspace.owner())?;
            std::fs::remove_file(&file)?;
            workspace.remember(workspace.measure()?.map_err(WorkspaceError::QuotaExceeded)?);
            Ok(())
        });
        unpacking.await.map_err(std::io::Error::other)?
    }
}
