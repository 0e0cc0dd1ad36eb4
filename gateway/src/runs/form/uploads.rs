//! The files of a create, in the store under the run's id before there is a run. Dropped before they are kept, they are deleted: whatever
//! becomes of the request.

use serde_json::{Value, json};
use shared::ids::{FileId, RunId};
use shared::media_types;
use shared::storage::{Artifacts, ObjectKey, Upload};

use super::file_name::{safe, unique};
use crate::error::ApiError;

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct GivenFile {
    id: FileId,
    /// The part that it came in: an input's name, or `files`.
    pub(crate) part: String,
    name: String,
    media_type: String,
    size: u64,
    sha256: String,
}

impl GivenFile {
    /// Where the agent finds it.
    pub(crate) fn path(&self) -> String {
        format!("inputs/{}", self.name)
    }
}

/// See the module.
pub(crate) struct Uploads {
    run: RunId,
    store: Artifacts,
    /// A dry run stores nothing.
    stores: bool,
    files: Vec<GivenFile>,
    /// Whether anything may be in the store.
    begun: bool,
    kept: bool,
}

/// A file that is being read.
pub(super) struct Begun {
    file: GivenFile,
    upload: Option<Upload>,
    beginning: Vec<u8>,
}

impl Begun {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let missing = media_types::SNIFFED_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.file.size += bytes.len() as u64;
        if let Some(upload) = &mut self.upload {
            upload.write(bytes).await?;
        }
        Ok(())
    }

    pub(super) const fn size(&self) -> u64 {
        self.file.size
    }
}

impl Uploads {
    pub(crate) fn new(run: RunId, store: &Artifacts, stores: bool) -> Self {
        Self { run, store: store.clone(), stores, files: Vec::new(), begun: false, kept: false }
    }

    /// What was read.
    pub(crate) fn files(&self) -> &[GivenFile] {
        &self.files
    }

    /// Bytes of what was read.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    pub(super) async fn begin(&mut self, part: &str, file_name: &str) -> Result<Begun, ApiError> {
        let taken = |name: &str| self.files.iter().any(|file| file.name == name);
        let file = GivenFile {
            id: FileId::generate(),
            part: part.to_owned(),
            name: unique(safe(file_name), taken),
            media_type: String::new(),
            size: 0,
            sha256: String::new(),
        };
        let upload = if self.stores {
            self.begun = true;
            Some(self.store.upload(&ObjectKey::file(self.run, file.id)).await?)
        } else {
            None
        };
        Ok(Begun { file, upload, beginning: Vec::new() })
    }

    pub(super) async fn add(&mut self, begun: Begun) -> Result<(), ApiError> {
        let Begun { mut file, upload, beginning } = begun;
        media_types::of_file(&file.name, &beginning).clone_into(&mut file.media_type);
        // From now on the object may be there.
        self.files.push(file);
        if let (Some(upload), Some(file)) = (upload, self.files.last_mut()) {
            file.sha256 = upload.finish().await?.sha256;
        }
        Ok(())
    }

    /// The run may be there: its files stay.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// Takes a prefix off the names of the parts that have it.
    pub(crate) fn strip_prefix(&mut self, prefix: &str) {
        for file in &mut self.files {
            if let Some(name) = file.part.strip_prefix(prefix) {
                file.part = name.to_owned();
            }
        }
    }

    /// What tells one create from another; null without files.
    pub(crate) fn fields(&self) -> Value {
        let shown = |file: &GivenFile| json!([file.part, file.name, file.size, file.sha256]);
        if self.files.is_empty() { Value::Null } else { self.files.iter().map(shown).collect() }
    }

    /// The rows.
    pub(crate) fn rows(&self) -> Value {
        let row = |file: &GivenFile| json!({"id": file.id, "name": file.name, "type": file.media_type, "size": file.size, "sha256": file.sha256});
        self.files.iter().map(row).collect()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if self.kept || !self.begun {
            return;
        }
        // With the directory that they are in.
        let (store, run) = (self.store.clone(), self.run);
        actix_web::rt::spawn(async move {
            if let Err(error) = store.delete_all(run).await {
                tracing::warn!(%error, "files that belong to no run stay for a day");
            }
        });
    }
}
