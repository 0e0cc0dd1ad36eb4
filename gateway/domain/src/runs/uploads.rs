//! The files of a create. They are in the store, under the run's id, before the run exists. Unless they are
//! kept, they are deleted when the request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Value, json};
use shared::ids::{FileId, RunId};
use shared::media_types;
use shared::storage::{Artifacts, ObjectKey, Upload, hex};
use tracing::Instrument as _;

use super::file_name::{safe, unique};
use crate::Refusal;

/// A file that was read.
#[derive(Debug, Clone)]
pub struct GivenFile {
    id: FileId,
    /// The form part that it came in: the name of an input, or [`super::FILES_PART`].
    pub part: String,
    name: String,
    media_type: String,
    size: u64,
    sha256: String,
}

impl GivenFile {
    /// Its path in the workspace.
    #[must_use]
    pub fn path(&self) -> String {
        format!("inputs/{}", self.name)
    }

    /// Whether a model that sees pictures can be shown it.
    #[must_use]
    pub fn is_picture(&self) -> bool {
        media_types::is_picture(&self.media_type)
    }

    #[cfg(test)]
    pub(super) fn of_type(part: &str, media_type: &str) -> Self {
        Self {
            id: FileId::generate(),
            part: part.to_owned(),
            name: part.to_owned(),
            media_type: media_type.to_owned(),
            size: 1,
            sha256: String::new(),
        }
    }
}

type Counter = Box<dyn FnOnce(u64) + Send + Sync>;

/// The files of one create.
pub struct Uploads {
    run: RunId,
    store: Artifacts,
    /// False for a dry run and for a replay: they store nothing.
    stores: bool,
    /// Why the create is refused if it turns out to be no replay.
    not_stored: Option<Refusal>,
    files: Vec<GivenFile>,
    /// Whether the store may hold bytes of this create.
    begun: bool,
    kept: bool,
    /// Counts the bytes of a refused create.
    counter: Option<Counter>,
    /// All bytes of files that were read.
    read: Arc<AtomicU64>,
}

/// A file that is being read.
pub struct StartedFile {
    file: GivenFile,
    read: Arc<AtomicU64>,
    target: Target,
    /// The type that the client sent.
    given: Option<String>,
    beginning: Vec<u8>,
}

/// Where the bytes go. Their hash is needed in any case: an idempotency key stands for it.
enum Target {
    Store(Upload),
    Hash(Context),
}

impl StartedFile {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let missing = media_types::SNIFFED_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.file.size += bytes.len() as u64;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match &mut self.target {
            Target::Store(upload) => upload.write(bytes).await.inspect_err(|_| forgive(&self.read))?,
            Target::Hash(hash) => hash.update(bytes),
        }
        Ok(())
    }

    #[must_use]
    pub const fn size(&self) -> u64 {
        self.file.size
    }

    /// With the type that the client sent. Many clients guess it, so it counts only if it says more than name
    /// and content.
    #[must_use]
    pub fn given_type(self, given: Option<String>) -> Self {
        Self { given, ..self }
    }
}

/// A failure of the store does not count.
fn forgive(read: &AtomicU64) {
    read.store(0, Ordering::Relaxed);
}

impl Uploads {
    #[must_use]
    pub fn new(run: RunId, store: &Artifacts, stores: bool) -> Self {
        Self {
            run,
            store: store.clone(),
            stores,
            not_stored: None,
            files: Vec::new(),
            begun: false,
            kept: false,
            counter: None,
            read: Arc::default(),
        }
    }

    /// If the create is refused after files were stored, `counter` gets their bytes.
    #[must_use]
    pub fn counted_by(mut self, counter: impl FnOnce(u64) + Send + Sync + 'static) -> Self {
        self.counter = Some(Box::new(counter));
        self
    }

    /// Whether files go to the store.
    #[must_use]
    pub const fn stores(&self) -> bool {
        self.stores
    }

    /// Stores no file: an earlier request seems to have created the run. If none has, `otherwise` refuses the
    /// create.
    pub(super) fn store_none(&mut self, otherwise: Refusal) {
        self.stores = false;
        self.not_stored = Some(otherwise);
    }

    /// Why a create that is no replay must be refused.
    pub(super) const fn not_stored(&mut self) -> Option<Refusal> {
        self.not_stored.take()
    }

    #[must_use]
    pub fn files(&self) -> &[GivenFile] {
        &self.files
    }

    /// The bytes of all files so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    pub async fn start(&mut self, part: &str, file_name: &str) -> Result<StartedFile, Refusal> {
        let taken = |name: &str| self.files.iter().any(|file| file.name == name);
        let file = GivenFile {
            id: FileId::generate(),
            part: part.to_owned(),
            name: unique(safe(file_name), taken),
            media_type: String::new(),
            size: 0,
            sha256: String::new(),
        };
        let target = if self.stores {
            self.begun = true;
            let upload = self.store.upload(&ObjectKey::file(self.run, file.id)).await;
            Target::Store(upload.inspect_err(|_| self.forgive())?)
        } else {
            Target::Hash(Context::new(&SHA256))
        };
        let (read, beginning) = (Arc::clone(&self.read), Vec::new());
        Ok(StartedFile { file, read, target, given: None, beginning })
    }

    pub async fn add(&mut self, started: StartedFile) -> Result<(), Refusal> {
        let StartedFile { mut file, target, given, beginning, .. } = started;
        file.media_type = media_types::of_upload(given.as_deref(), &file.name, &beginning);
        // From here on the object may exist.
        let at = self.files.len();
        self.files.push(file);
        self.files[at].sha256 = match target {
            Target::Store(upload) => upload.finish().await.inspect_err(|_| forgive(&self.read))?.sha256,
            Target::Hash(hash) => hex(hash.finish().as_ref()),
        };
        Ok(())
    }

    /// Does not count the files: the installation failed.
    pub fn forgive(&self) {
        forgive(&self.read);
    }

    /// Keeps the files: the run exists, or may exist.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Removes a prefix from the names of the parts that have it.
    pub fn strip_prefix(&mut self, prefix: &str) {
        for file in &mut self.files {
            if let Some(name) = file.part.strip_prefix(prefix) {
                file.part = name.to_owned();
            }
        }
    }

    /// What an idempotency key stands for. Null without files.
    #[must_use]
    pub fn fields(&self) -> Value {
        let shown = |file: &GivenFile| json!([file.part, file.name, file.size, file.sha256]);
        if self.files.is_empty() { Value::Null } else { self.files.iter().map(shown).collect() }
    }

    /// The rows of `run_files`, as a JSON array.
    #[must_use]
    pub fn rows(&self) -> Value {
        let row = |(position, file): (usize, &GivenFile)| {
            json!({
                "id": file.id, "name": file.name, "type": file.media_type, "size": file.size,
                "sha256": file.sha256, "part": file.part, "position": position,
            })
        };
        self.files.iter().enumerate().map(row).collect()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if self.kept || !self.begun {
            return;
        }
        if let Some(count) = self.counter.take() {
            count(self.read.load(Ordering::Relaxed));
        }
        let (store, run) = (self.store.clone(), self.run);
        let task = async move {
            if let Err(error) = store.delete_all(run).await {
                tracing::warn!(%error, run_id = %run, "failed to delete the files of a refused create");
            }
        };
        tokio::spawn(task.in_current_span());
    }
}
