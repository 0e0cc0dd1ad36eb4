//! The store of files' bytes: a local directory, by its URL. Names and media types are in PostgreSQL.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::upload::Upload;
use crate::ids::{ArtifactId, FileId, RunId};

/// Why a store does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// CAPI_ARTIFACTS_URL names no store that this build knows.
    #[error("CAPI_ARTIFACTS_URL must be file:///ABSOLUTE/DIRECTORY: {0}")]
    Url(Url),
    /// The directory can be neither found nor made.
    #[error("CAPI_ARTIFACTS_URL: cannot use {0}: {1}")]
    Directory(String, std::io::Error),
    /// The local disk's own words.
    #[error("the disk: {0}")]
    Read(std::io::Error),
    /// The store's own words.
    #[error("artifact store: {0}")]
    Store(#[from] object_store::Error),
}

impl StorageError {
    /// Whether the store answered that there is no such object.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

/// Where the bytes of a run's file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKey(Path);

impl ObjectKey {
    /// Of a published file.
    #[must_use]
    pub fn artifact(run: RunId, artifact: ArtifactId) -> Self {
        Self(Path::from(format!("runs/{run}/artifacts/{artifact}")))
    }

    /// Of a file that the caller gave.
    #[must_use]
    pub fn file(run: RunId, file: FileId) -> Self {
        Self(Path::from(format!("runs/{run}/files/{file}")))
    }

    /// Of a workspace, as it was when the attempt recorded an event of this number.
    #[must_use]
    pub fn snapshot(run: RunId, attempt: i32, seq: i64) -> Self {
        Self(Path::from(format!("runs/{run}/{attempt}/{seq}")))
    }

    /// The key of a snapshot of this run's, as an event names it; nothing else.
    #[must_use]
    pub fn read_snapshot(run: RunId, text: &str) -> Option<Self> {
        let (attempt, seq) = text.strip_prefix(&format!("runs/{run}/"))?.split_once('/')?;
        Some(Self::snapshot(run, attempt.parse().ok()?, seq.parse().ok()?))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An object in the store, as a listing shows it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its key.
    pub key: ObjectKey,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// When it was written, by the store's clock.
    pub written: DateTime<Utc>,
}

/// The bytes of artifacts, callers' files and snapshots.
#[derive(Clone)]
pub struct Artifacts(Arc<dyn ObjectStore>, PathBuf);

impl Artifacts {
    /// Opens the store; a missing directory is made.
    pub fn open(url: &Url) -> Result<Self, StorageError> {
        let directory = url.to_file_path().ok().filter(|_| url.scheme() == "file");
        let directory = directory.ok_or_else(|| StorageError::Url(url.clone()))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| StorageError::Directory(directory.display().to_string(), error))?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(&directory)?), directory))
    }

    /// Stores an object, whole or not at all.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StorageError> {
        self.0.put(&key.0, bytes.into()).await?;
        Ok(())
    }

    /// Begins to store an object piece by piece.
    pub async fn upload(&self, key: &ObjectKey) -> Result<Upload, StorageError> {
        Ok(Upload::new(self.0.put_multipart(&key.0).await?))
    }

    /// The object's bytes in the range, in pieces.
    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let range = (!range.is_empty()).then_some(GetRange::Bounded(range));
        let found = self.0.get_opts(&key.0, GetOptions { range, ..GetOptions::default() }).await?;
        Ok(found.into_stream().map_err(StorageError::from).boxed())
    }

    /// Succeeds where the object's bytes are there.
    pub async fn exists(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.0.head(&key.0).await?;
        Ok(())
    }

    /// Deletes an object; one that is gone is no failure.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        match self.0.delete(&key.0).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes everything that is stored for the run.
    pub async fn delete_all(&self, run: RunId) -> Result<(), StorageError> {
        let mut stored = self.list(Some(run));
        while let Some(object) = stored.next().await {
            self.delete(&object?.key).await?;
        }
        // With what uploads of killed processes left: the store does not list it.
        match tokio::fs::remove_dir_all(self.1.join(format!("runs/{run}"))).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::Read(error)),
            _ => Ok(()),
        }
    }

    /// Deletes what uploads of killed processes left before `then`: the local store keeps it under names that it does not list.
    pub async fn delete_abandoned(&self, then: DateTime<Utc>) -> Result<u64, StorageError> {
        let runs = self.1.join("runs");
        let sweeping = tokio::task::spawn_blocking(move || {
            let below = |dir: PathBuf| {
                std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
            };
            let mut deleted = 0;
            for path in below(runs).flat_map(below).flat_map(below) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let is_part = name
                    .rsplit_once('#')
                    .is_some_and(|(_, part)| part.bytes().all(|byte| byte.is_ascii_digit()));
                let written = path.metadata().and_then(|file| file.modified());
                if is_part && written.is_ok_and(|written| DateTime::<Utc>::from(written) < then) {
                    std::fs::remove_file(&path)?;
                    deleted += 1;
                }
            }
            Ok::<_, std::io::Error>(deleted)
        });
        sweeping.await.map_err(std::io::Error::other).and_then(|swept| swept).map_err(StorageError::Read)
    }

    /// What is stored, for one run or for all.
    #[must_use]
    pub fn list(&self, run: Option<RunId>) -> BoxStream<'static, Result<Stored, StorageError>> {
        let prefix = Path::from(run.map_or("runs".to_owned(), |run| format!("runs/{run}")));
        let stored = |object: ObjectMeta| Stored {
            run: object.location.parts().nth(1).and_then(|run| run.as_ref().parse().ok()),
            key: ObjectKey(object.location),
            written: object.last_modified,
        };
        self.0.list(Some(&prefix)).map_ok(stored).map_err(StorageError::from).boxed()
    }
}
