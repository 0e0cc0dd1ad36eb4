//! Stores an object in parts, so that little of it is in memory. The object exists only after the upload is
//! finished.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use object_store::{MultipartUpload, WriteMultipart};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Artifacts, StorageError};

/// Bytes that an upload collects before it writes them. An upload holds two parts at most.
const PART: usize = 256 << 10;

/// The disk is measured again after so many bytes.
const MEASURE_EVERY: usize = 5 << 20;

const READ_BUFFER: usize = 256 << 10;

/// Dropping an upload discards it.
pub struct Upload {
    writer: WriteMultipart,
    store: Artifacts,
    /// Bytes since the disk was last measured.
    unmeasured: usize,
    digest: Context,
    size: u64,
}

/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, store: Artifacts) -> Self {
        let writer = WriteMultipart::new_with_chunk_size(upload, PART);
        Self { writer, store, unmeasured: 0, digest: Context::new(&SHA256), size: 0 }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.unmeasured += bytes.len();
        if self.unmeasured >= MEASURE_EVERY {
            self.unmeasured = 0;
            self.store.check_space().await?;
        }
        self.writer.wait_for_capacity(1).await?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        self.writer.write(bytes);
        Ok(())
    }

    /// Appends the whole source.
    pub async fn write_from(&mut self, mut source: impl AsyncRead + Unpin) -> Result<(), StorageError> {
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            match source.read(&mut buffer).await.map_err(StorageError::Read)? {
                0 => return Ok(()),
                read => self.write(&buffer[..read]).await?,
            }
        }
    }

    /// Creates the object.
    pub async fn finish(self) -> Result<Uploaded, StorageError> {
        self.writer.finish().await?;
        Ok(Uploaded { size: self.size, sha256: hex(self.digest.finish().as_ref()) })
    }
}

/// Lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
