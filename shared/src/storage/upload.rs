//! Storing an object piece by piece: it is there when it is finished, and not before. Little of it is in memory at a time.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use object_store::{MultipartUpload, WriteMultipart};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::StorageError;

/// Bytes that are sent to the store at once: the least that S3 takes.
const PART: usize = 5 << 20;

/// For one read.
const PIECE: usize = 256 << 10;

/// See the module. Dropped, it leaves nothing.
pub struct Upload {
    writer: WriteMultipart,
    digest: Context,
    size: u64,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// In bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>) -> Self {
        let writer = WriteMultipart::new_with_chunk_size(upload, PART);
        Self { writer, digest: Context::new(&SHA256), size: 0 }
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.writer.wait_for_capacity(1).await?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        self.writer.write(bytes);
        Ok(())
    }

    /// Adds everything that is read.
    pub async fn write_from(&mut self, mut source: impl AsyncRead + Unpin) -> Result<(), StorageError> {
        let mut piece = vec![0; PIECE];
        loop {
            match source.read(&mut piece).await.map_err(StorageError::Read)? {
                0 => return Ok(()),
                read => self.write(&piece[..read]).await?,
            }
        }
    }

    /// The object is there from now on.
    pub async fn finish(self) -> Result<Uploaded, StorageError> {
        self.writer.finish().await?;
        Ok(Uploaded { size: self.size, sha256: hex(self.digest.finish().as_ref()) })
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
