//! The caller's files, fetched from the store into the run's `inputs/`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::StreamExt;
use shared::storage::{Artifacts, ObjectKey, hex};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Workspace, WorkspaceError};

/// A file of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Under `inputs/`: one name, made safe by the gateway.
    pub name: String,
    /// As the gateway sniffed it.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    /// Where its bytes are.
    pub key: ObjectKey,
}

impl Workspace {
    /// Fetches the files. Their sandbox can read and nobody can change them.
    pub async fn fetch_inputs(&self, store: &Artifacts, files: &[InputFile]) -> Result<(), WorkspaceError> {
        for file in files {
            // A row that was written by something else than the gateway leads nowhere either.
            let name = Path::new(&file.name).file_name().unwrap_or_default();
            let path = self.mounts().inputs.join(name);
            if download(store, &file.key, &path, file.size).await? != file.sha256 {
                return Err(WorkspaceError::Changed(file.key.to_string()));
            }
            tokio::fs::set_permissions(&path, Permissions::from_mode(0o444)).await?;
        }
        Ok(())
    }
}

/// Writes an object to a file that is not there yet; its SHA-256.
pub(super) async fn download(
    store: &Artifacts,
    key: &ObjectKey,
    path: &Path,
    most: u64,
) -> Result<String, WorkspaceError> {
    let (mut pieces, mut file) = (store.get(key, 0..0).await?, File::create_new(path).await?);
    let (mut digest, mut size) = (Context::new(&SHA256), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if size > most {
            return Err(WorkspaceError::Changed(key.to_string()));
        }
        digest.update(&piece);
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    Ok(hex(digest.finish().as_ref()))
}
