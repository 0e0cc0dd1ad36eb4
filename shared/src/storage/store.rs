//! The store of artifacts' bytes: a local directory, by its URL. Names and media types are in PostgreSQL.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::ids::{ArtifactId, RunId};

/// Why a store does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// CAPI_ARTIFACTS_URL names no store that this build knows.
    #[error("CAPI_ARTIFACTS_URL must be file:///ABSOLUTE/DIRECTORY: {0}")]
    Url(Url),
    /// The directory can be neither found nor made.
    #[error("CAPI_ARTIFACTS_URL: cannot use {0}: {1}")]
    Directory(String, std::io::Error),
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

/// The bytes of artifacts.
#[derive(Clone)]
pub struct Artifacts(Arc<dyn ObjectStore>);

impl Artifacts {
    /// Opens the store; a missing directory is made.
    pub fn open(url: &Url) -> Result<Self, StorageError> {
        let directory = url.to_file_path().ok().filter(|_| url.scheme() == "file");
        let directory = directory.ok_or_else(|| StorageError::Url(url.clone()))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| StorageError::Directory(directory.display().to_string(), error))?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(directory)?)))
    }

    /// Stores an artifact, whole or not at all.
    pub async fn put(&self, run: RunId, artifact: ArtifactId, bytes: Bytes) -> Result<(), StorageError> {
        self.0.put(&path(run, artifact), bytes.into()).await?;
        Ok(())
    }

    /// The artifact's bytes in the range, in pieces.
    pub async fn get(
        &self,
        run: RunId,
        artifact: ArtifactId,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let range = (!range.is_empty()).then_some(GetRange::Bounded(range));
        let found =
            self.0.get_opts(&path(run, artifact), GetOptions { range, ..GetOptions::default() }).await?;
        Ok(found.into_stream().map_err(StorageError::from).boxed())
    }

    /// Succeeds where the artifact's bytes are there.
    pub async fn exists(&self, run: RunId, artifact: ArtifactId) -> Result<(), StorageError> {
        self.0.head(&path(run, artifact)).await?;
        Ok(())
    }

    /// Deletes everything that is stored for the run.
    pub async fn delete_all(&self, run: RunId) -> Result<(), StorageError> {
        let stored = self.0.list(Some(&Path::from(format!("runs/{run}")))).map_ok(|object| object.location);
        let mut deleted = self.0.delete_stream(stored.boxed());
        while let Some(one) = deleted.next().await {
            match one {
                // Somebody else was faster.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn path(run: RunId, artifact: ArtifactId) -> Path {
    Path::from(format!("runs/{run}/artifacts/{artifact}"))
}
