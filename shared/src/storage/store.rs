//! The store holds the bytes of files in a local directory. Their names and media types are in PostgreSQL.

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

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("CAPI_ARTIFACTS_URL must be file:///ABSOLUTE/DIRECTORY: {0}")]
    Url(Url),
    #[error("CAPI_ARTIFACTS_URL: cannot use {0}: {1}")]
    Directory(String, std::io::Error),
    #[error("failed to read or write the disk: {0}")]
    Read(std::io::Error),
    #[error("the artifact store failed: {0}")]
    Store(#[from] object_store::Error),
}

impl StorageError {
    /// Whether the object does not exist.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

/// The key of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKey(Path);

impl ObjectKey {
    #[must_use]
    pub fn artifact(run: RunId, artifact: ArtifactId) -> Self {
        Self(Path::from(format!("runs/{run}/artifacts/{artifact}")))
    }

    /// Of an input file.
    #[must_use]
    pub fn file(run: RunId, file: FileId) -> Self {
        Self(Path::from(format!("runs/{run}/files/{file}")))
    }

    /// Of the workspace when the attempt recorded event `seq`.
    #[must_use]
    pub fn snapshot(run: RunId, attempt: i32, seq: i64) -> Self {
        Self(Path::from(format!("runs/{run}/{attempt}/{seq}")))
    }

    /// Parses the key of a snapshot in an event. Returns `None` for all other keys, and for keys of other
    /// runs.
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

/// An object in a listing.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: ObjectKey,
    /// `None` if the object is in no run's folder.
    pub run: Option<RunId>,
    /// By the clock of the store.
    pub written: DateTime<Utc>,
}

/// The store of artifacts, input files and snapshots.
#[derive(Clone)]
pub struct Artifacts(Arc<dyn ObjectStore>, PathBuf);

impl Artifacts {
    /// Opens the store and creates its directory if necessary.
    pub fn open(url: &Url) -> Result<Self, StorageError> {
        let directory = url.to_file_path().ok().filter(|_| url.scheme() == "file");
        let directory = directory.ok_or_else(|| StorageError::Url(url.clone()))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| StorageError::Directory(directory.display().to_string(), error))?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(&directory)?), directory))
    }

    /// Stores a whole object or nothing.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StorageError> {
        self.0.put(&key.0, bytes.into()).await?;
        Ok(())
    }

    /// Starts to store an object in parts.
    pub async fn upload(&self, key: &ObjectKey) -> Result<Upload, StorageError> {
        Ok(Upload::new(self.0.put_multipart(&key.0).await?))
    }

    /// Streams the bytes of the range.
    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let range = (!range.is_empty()).then_some(GetRange::Bounded(range));
        let found = self.0.get_opts(&key.0, GetOptions { range, ..GetOptions::default() }).await?;
        Ok(found.into_stream().map_err(StorageError::from).boxed())
    }

    /// Fails if the object does not exist.
    pub async fn exists(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.0.head(&key.0).await?;
        Ok(())
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        match self.0.delete(&key.0).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes all objects of the run.
    pub async fn delete_all(&self, run: RunId) -> Result<(), StorageError> {
        let mut stored = self.list(Some(run));
        while let Some(object) = stored.next().await {
            self.delete(&object?.key).await?;
        }
        // Also removes partial uploads of killed processes, which the store does not list.
        match tokio::fs::remove_dir_all(self.1.join(format!("runs/{run}"))).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::Read(error)),
            _ => Ok(()),
        }
    }

    /// Deletes the partial uploads that killed processes left before `then`. The local store does not list
    /// their names.
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

    /// Lists the objects of one run or of all runs.
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
