//! Fetches the caller's files from the store into the run's `inputs/`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::StreamExt;
use shared::ids::FileId;
use shared::storage::{Artifacts, ObjectKey, hex};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Workspace, WorkspaceError};

/// A file that the caller sent with the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    pub id: FileId,
    /// A file name without directories. The gateway made it safe.
    pub name: String,
    /// The gateway detected it from the content.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    pub key: ObjectKey,
}

impl Workspace {
    /// Fetches the files. Commands cannot change them, because they see them in a read-only mount. The mode
    /// lets them change a copy.
    pub async fn fetch_inputs(&self, store: &Artifacts, files: &[InputFile]) -> Result<(), WorkspaceError> {
        for file in files {
            // This holds even for a row that the gateway did not write.
            let name = Path::new(&file.name).file_name().unwrap_or_default();
            let path = self.mounts().inputs.join(name);
            if download(store, &file.key, &path, file.size).await? != file.sha256 {
                return Err(WorkspaceError::Changed(file.key.to_string()));
            }
            tokio::fs::set_permissions(&path, Permissions::from_mode(0o644)).await?;
        }
        Ok(())
    }
}

/// Writes an object of at most `max` bytes to a new file. Returns its SHA-256.
pub(super) async fn download(
    store: &Artifacts,
    key: &ObjectKey,
    path: &Path,
    max: u64,
) -> Result<String, WorkspaceError> {
    let (mut pieces, mut file) = (store.get(key, 0..0).await?, File::create_new(path).await?);
    let (mut digest, mut size) = (Context::new(&SHA256), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if size > max {
            return Err(WorkspaceError::Changed(key.to_string()));
        }
        digest.update(&piece);
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    Ok(hex(digest.finish().as_ref()))
}
