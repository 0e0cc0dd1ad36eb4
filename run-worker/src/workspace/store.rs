//! Saves snapshots of the workspace to the store, and restores them for the next attempt.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use shared::ids::RunId;
use shared::runs::events::{MANIFEST, StoredSnapshot};
use shared::storage::{Artifacts, ObjectKey, PackId, hex};
use tokio::sync::mpsc;

use super::snapshot::{Content, Looked, Packs, Restore, decode, encode, look};
use super::tar_snapshot::unpack;
use super::{Workspace, WorkspaceError};

/// Manifests are compressed; their JSON is bounded too.
const MAX_MANIFEST_BYTES: u64 = 32 << 20;

/// A snapshot in the store, as an event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub run: RunId,
    pub key: ObjectKey,
    pub format: Format,
    /// Of the object with this key, in hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Manifest,
    /// Of versions before manifests.
    Tar,
}

/// What this worker knows about the last snapshot of a workspace.
#[derive(Default)]
pub(super) struct Saved {
    content: Arc<Content>,
    manifest: Option<ObjectKey>,
    /// The last snapshot is of a format whose content is not in `content`. The next one is stored even if
    /// `content` is the same.
    is_unknown: bool,
    /// Objects that newer snapshots replaced. They go when the newest snapshot is recorded.
    replaced: Vec<ObjectKey>,
}

impl Saved {
    fn replace(&mut self, run: RunId, key: ObjectKey, content: Content) {
        let kept: BTreeSet<PackId> = content.packs().collect();
        let unused = self.content.packs().filter(|pack| !kept.contains(pack));
        self.replaced.extend(unused.map(|pack| ObjectKey::pack(run, pack)));
        self.replaced.extend(self.manifest.replace(key));
        self.content = Arc::new(content);
        self.is_unknown = false;
    }
}

impl Snapshot {
    /// For an event.
    #[must_use]
    pub fn stored(&self) -> StoredSnapshot {
        let format = (self.format == Format::Manifest).then(|| MANIFEST.to_owned());
        StoredSnapshot { key: self.key.to_string(), sha256: self.sha256.clone(), size: self.size, format }
    }

    /// From an event. Fails if the key is not one of the run's snapshots, or if only a later version knows
    /// the format.
    pub fn read(run: RunId, stored: &StoredSnapshot) -> Result<Self, WorkspaceError> {
        let unknown = || WorkspaceError::Changed(stored.key.clone());
        let format = match stored.format.as_deref() {
            None => Format::Tar,
            Some(MANIFEST) => Format::Manifest,
            Some(_) => return Err(unknown()),
        };
        let key = ObjectKey::read_snapshot(run, &stored.key).ok_or_else(unknown)?;
        Ok(Self { run, key, format, sha256: stored.sha256.clone(), size: stored.size })
    }
}

impl Workspace {
    /// Stores a snapshot for the event `seq` if the workspace changed since the last one. It may hold a
    /// little more than the workspace may ([`super::Quota::with_slack`]).
    pub async fn save(
        &self,
        store: &Artifacts,
        (run, attempt): (RunId, i32),
        seq: i64,
    ) -> Result<Option<Snapshot>, WorkspaceError> {
        self.wait_for_tasks().await?;
        let begun = std::time::Instant::now();
        // One pack waits while another one is stored. If storing fails, the channel closes and ends the look.
        let (sender, mut full) = mpsc::channel::<(PackId, Vec<u8>)>(1);
        let workspace = self.clone();
        let (last, is_unknown) = {
            let saved = self.saved();
            (Arc::clone(&saved.content), saved.is_unknown)
        };
        let looking = self.tasks().spawn_blocking(move || {
            let mut send = |id, pack| {
                let gone = |_| std::io::Error::other("the snapshot was abandoned");
                sender.blocking_send((id, pack)).map_err(gone)
            };
            let mut packs = Packs::new(attempt, seq, &mut send);
            let (dir, probe) = (workspace.mounts().workspace, workspace.private_path("clock"));
            let quota = workspace.quota().with_slack();
            let looked = look(&dir, &probe, &last, workspace.tagger(), &quota, &mut packs)?;
            let looked = match looked {
                Looked::Same(content) if is_unknown => Looked::Changed(content),
                looked => looked,
            };
            let manifest = match &looked {
                Looked::Same(_) => None,
                Looked::Changed(content) => Some(encode(content)?),
            };
            Ok::<_, WorkspaceError>((looked, manifest))
        });
        let mut bytes = 0;
        while let Some((id, pack)) = full.recv().await {
            bytes += pack.len() as u64;
            store.put(&ObjectKey::pack(run, id), pack.into()).await?;
        }
        let saved = match looking.await.map_err(std::io::Error::other)?? {
            (Looked::Changed(content), Some(manifest)) => {
                let key = ObjectKey::snapshot(run, attempt, seq);
                let (size, sha256) = (manifest.len() as u64, hex(digest(&SHA256, &manifest).as_ref()));
                store.put(&key, Bytes::from(manifest)).await?;
                self.saved().replace(run, key.clone(), content);
                metrics::counter!("capi_workspace_snapshots_total").increment(1);
                metrics::counter!("capi_workspace_snapshot_bytes_total").increment(bytes + size);
                Some(Snapshot { run, key, format: Format::Manifest, sha256, size })
            }
            (Looked::Same(content) | Looked::Changed(content), _) => {
                self.saved().content = Arc::new(content);
                None
            }
        };
        metrics::histogram!("capi_workspace_snapshot_duration_seconds").record(begun.elapsed().as_secs_f64());
        Ok(saved)
    }

    /// Fills the empty workspace with exactly the content of the snapshot.
    pub async fn restore(&self, store: &Artifacts, snapshot: &Snapshot) -> Result<(), WorkspaceError> {
        match snapshot.format {
            Format::Manifest => self.restore_manifest(store, snapshot).await,
            Format::Tar => self.restore_tar(store, snapshot).await,
        }
    }

    async fn restore_manifest(&self, store: &Artifacts, snapshot: &Snapshot) -> Result<(), WorkspaceError> {
        let run = snapshot.run;
        let manifest = read(store, &snapshot.key, snapshot.size.min(MAX_MANIFEST_BYTES)).await?;
        if hex(digest(&SHA256, &manifest).as_ref()) != snapshot.sha256 {
            return Err(WorkspaceError::Changed(snapshot.key.to_string()));
        }
        let workspace = self.clone();
        let beginning = self.tasks().spawn_blocking(move || {
            let content = decode(&manifest, &workspace.quota().with_slack())?;
            Restore::begin(&workspace.mounts().workspace, content, workspace.owner())
        });
        let mut restore = beginning.await.map_err(std::io::Error::other)??;
        for (id, size) in restore.packs() {
            let key = ObjectKey::pack(run, id);
            let pack = read(store, &key, size).await?;
            let writing = self.tasks().spawn_blocking(move || {
                let good = restore.write(id, &pack)?;
                Ok::<_, std::io::Error>((restore, good))
            });
            let (going_on, good) = writing.await.map_err(std::io::Error::other)??;
            if !good {
                return Err(WorkspaceError::Changed(key.to_string()));
            }
            restore = going_on;
        }
        let finishing = self.tasks().spawn_blocking(move || restore.finish());
        let content = finishing.await.map_err(std::io::Error::other)??;
        self.saved().replace(run, snapshot.key.clone(), content);
        Ok(())
    }

    async fn restore_tar(&self, store: &Artifacts, snapshot: &Snapshot) -> Result<(), WorkspaceError> {
        let file = self.private_path("snapshot");
        let written = super::inputs::download(store, &snapshot.key, &file, snapshot.size).await?;
        if written != snapshot.sha256 {
            return Err(WorkspaceError::Changed(snapshot.key.to_string()));
        }
        let workspace = self.clone();
        let unpacking = self.tasks().spawn_blocking(move || {
            unpack(&file, &workspace.mounts().workspace, &workspace.quota(), workspace.owner())?;
            std::fs::remove_file(&file)
        });
        unpacking.await.map_err(std::io::Error::other)??;
        // The next snapshot holds all files, and replaces this one.
        let mut saved = self.saved();
        saved.manifest = Some(snapshot.key.clone());
        saved.is_unknown = true;
        drop(saved);
        Ok(())
    }

    /// Makes the workspace what it was at this snapshot, or empty.
    pub async fn reset(&self, store: &Artifacts, last: Option<&Snapshot>) -> Result<(), WorkspaceError> {
        self.wait_for_tasks().await?;
        let workspace = self.clone();
        let emptying = self.tasks().spawn_blocking(move || workspace.empty());
        emptying.await.map_err(std::io::Error::other)??;
        {
            let mut saved = self.saved();
            let replaced = std::mem::take(&mut saved.replaced);
            *saved = Saved { replaced, ..Saved::default() };
        }
        match last {
            Some(snapshot) => self.restore(store, snapshot).await,
            None => Ok(()),
        }
    }

    /// The objects of the last snapshot.
    #[must_use]
    pub fn snapshot_keys(&self, run: RunId) -> BTreeSet<ObjectKey> {
        let saved = self.saved();
        let packs = saved.content.packs().map(|pack| ObjectKey::pack(run, pack));
        packs.chain(saved.manifest.clone()).collect()
    }

    /// The objects that the last snapshot replaced. Call it when an event names that snapshot.
    #[must_use]
    pub fn take_replaced(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut self.saved().replaced)
    }

    /// They could not be deleted now.
    pub fn put_back_replaced(&self, keys: Vec<ObjectKey>) {
        self.saved().replaced.extend(keys);
    }
}

/// Reads an object of at most `max` bytes.
async fn read(store: &Artifacts, key: &ObjectKey, max: u64) -> Result<Vec<u8>, WorkspaceError> {
    let changed = || WorkspaceError::Changed(key.to_string());
    let read = store.get_small(key, usize::try_from(max).unwrap_or(usize::MAX)).await;
    match read {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(changed()),
        Err(error) if error.is_missing() => Err(changed()),
        Err(error) => Err(error.into()),
    }
}
