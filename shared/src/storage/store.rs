//! The store holds the bytes of files in a local directory. Their names and media types are in PostgreSQL.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use url::Url;

use super::keys::ObjectKey;
use super::space::{free_bytes, is_full};
use super::upload::Upload;
use crate::ids::RunId;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("CAPI_ARTIFACTS_URL must be file:///ABSOLUTE/DIRECTORY: {0}")]
    Url(Url),
    #[error("CAPI_ARTIFACTS_URL: cannot use {0}: {1}")]
    Directory(String, std::io::Error),
    #[error("failed to read or write the disk: {0}")]
    Read(std::io::Error),
    #[error("the artifact store is full: {0}")]
    Full(String),
    #[error("the artifact store belongs to another installation")]
    Foreign,
    #[error("the artifact store failed: {0}")]
    Store(object_store::Error),
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        if is_full(&error) { Self::Full(error.to_string()) } else { Self::Store(error) }
    }
}

impl StorageError {
    /// Whether the object does not exist.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

/// An object in a listing.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: ObjectKey,
    /// `None` if the object is in no run's folder.
    pub run: Option<RunId>,
    /// In bytes.
    pub size: u64,
    /// By the clock of the store.
    pub written: DateTime<Utc>,
}

/// The store of artifacts, input files and snapshots.
#[derive(Clone)]
pub struct Artifacts {
    objects: Arc<dyn ObjectStore>,
    directory: Arc<PathBuf>,
    /// Free bytes of the disk that uploads must leave.
    reserve: u64,
    /// Set while the store is known to belong to another installation.
    foreign: Arc<AtomicBool>,
}

impl Artifacts {
    /// Opens the store and creates its directory if necessary.
    pub fn open(url: &Url) -> Result<Self, StorageError> {
        let directory = url.to_file_path().ok().filter(|_| url.scheme() == "file");
        let directory = directory.ok_or_else(|| StorageError::Url(url.clone()))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| StorageError::Directory(directory.display().to_string(), error))?;
        Ok(Self {
            objects: Arc::new(LocalFileSystem::new_with_prefix(&directory)?),
            directory: Arc::new(directory),
            reserve: 0,
            foreign: Arc::default(),
        })
    }

    /// Uploads must leave so many bytes of the disk free.
    #[must_use]
    pub const fn with_reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// Refuses writes and deletions, or accepts them again.
    pub(super) fn set_foreign(&self, foreign: bool) {
        self.foreign.store(foreign, Ordering::Relaxed);
    }

    fn check_owner(&self) -> Result<(), StorageError> {
        if self.foreign.load(Ordering::Relaxed) { Err(StorageError::Foreign) } else { Ok(()) }
    }

    /// Stores a whole object or nothing. It may use the reserve.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StorageError> {
        self.check_owner()?;
        self.objects.put(&key.0, bytes.into()).await?;
        Ok(())
    }

    /// Stores an object, if `replace` is set or none exists. Returns whether it was stored.
    pub(super) async fn put_own(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        replace: bool,
    ) -> Result<bool, StorageError> {
        let mode = if replace { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(&key.0, PutPayload::from(bytes), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts to store an object in parts. It is refused if it would use the reserve.
    pub async fn upload(&self, key: &ObjectKey) -> Result<Upload, StorageError> {
        self.check_owner()?;
        self.check_space().await?;
        Ok(Upload::new(self.objects.put_multipart(&key.0).await?, self.clone()))
    }

    /// Fails if fewer bytes than the reserve are free.
    pub(super) async fn check_space(&self) -> Result<(), StorageError> {
        let (reserve, directory) = (self.reserve, Arc::clone(&self.directory));
        if reserve == 0 {
            return Ok(());
        }
        let measuring = tokio::task::spawn_blocking(move || free_bytes(&directory));
        let free = measuring.await.map_err(std::io::Error::other).and_then(|free| free);
        let free = free.map_err(StorageError::Read)?;
        if free < reserve {
            let why = format!("{free} bytes are free, and CAPI_ARTIFACTS_RESERVE_BYTES keeps {reserve} free");
            return Err(StorageError::Full(why));
        }
        Ok(())
    }

    /// Streams the bytes of the range; the empty range stands for the whole object.
    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let range = (!range.is_empty()).then_some(GetRange::Bounded(range));
        let found = self.objects.get_opts(&key.0, GetOptions { range, ..GetOptions::default() }).await?;
        Ok(found.into_stream().map_err(StorageError::from).boxed())
    }

    /// Reads a whole object. Returns `None` if it has more than `max` bytes.
    pub async fn get_small(&self, key: &ObjectKey, max: usize) -> Result<Option<Vec<u8>>, StorageError> {
        let (mut pieces, mut read) = (self.get(key, 0..0).await?, Vec::new());
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            if read.len() + piece.len() > max {
                return Ok(None);
            }
            read.extend_from_slice(&piece);
        }
        Ok(Some(read))
    }

    /// Fails if the object does not exist.
    pub async fn exists(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.objects.head(&key.0).await?;
        Ok(())
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.check_owner()?;
        match self.objects.delete(&key.0).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes all objects of the run.
    pub async fn delete_all(&self, run: RunId) -> Result<(), StorageError> {
        self.check_owner()?;
        let mut stored = self.list(Some(run));
        while let Some(object) = stored.next().await {
            self.delete(&object?.key).await?;
        }
        // Also removes partial uploads of killed processes, which the store does not list.
        match tokio::fs::remove_dir_all(self.directory.join(format!("runs/{run}"))).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::Read(error)),
            _ => Ok(()),
        }
    }

    /// Deletes at most `max` partial uploads that killed processes left before `then`. The local store does
    /// not list their names.
    pub async fn delete_abandoned(&self, then: DateTime<Utc>, max: usize) -> Result<u64, StorageError> {
        self.check_owner()?;
        let runs = self.directory.join("runs");
        let sweeping = tokio::task::spawn_blocking(move || {
            let below = |dir: PathBuf| {
                std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
            };
            let is_old_part = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
                let written = path.metadata().and_then(|file| file.modified());
                name.rsplit_once('#').is_some_and(|(_, part)| digits(part))
                    && written.is_ok_and(|written| DateTime::<Utc>::from(written) < then)
            };
            let mut deleted = 0;
            for path in below(runs).flat_map(below).flat_map(below).filter(is_old_part).take(max) {
                std::fs::remove_file(&path)?;
                deleted += 1;
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
            size: object.size,
            written: object.last_modified,
        };
        self.objects.list(Some(&prefix)).map_ok(stored).map_err(StorageError::from).boxed()
    }
}
