//! The pictures that models are shown. A caller may send a hostile one, and a thread that decodes it cannot
//! be stopped. So a child process (`picture-reader`, beside the worker's program) decodes it with bounded
//! memory and time. It also makes the picture small enough for model servers. The end of that process does
//! not harm the worker.
//!
//! `reader` is the program, `child` starts it, and `protocol` is what it answers. `turns` bounds the memory
//! of all pictures, and keeps an account with many pictures from delaying others. `shown` stores the pictures
//! that tools show, and `left` counts what a run may still show.

mod child;
mod left;
mod protocol;
pub mod reader;
mod shown;
mod turns;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use shared::ids::UserId;
use shared::storage::{Artifacts, ObjectKey, hex};
use tokio::sync::{AcquireError, OwnedMutexGuard, Semaphore};

use crate::workspace::{InputFile, WorkspaceError};
pub use left::PicturesLeft;
use model_client::Picture;
pub use protocol::Refusal;
pub use shown::{ReadyPicture, ShownPicture};
pub use turns::PictureMemory;
use turns::Turns;

/// Bytes of a picture's file: as many as the form of a create takes for one file.
pub const MAX_INPUT_BYTES: u64 = 25 << 20;
/// Pixels of a picture. A photo of 50 megapixels fits.
pub const MAX_PIXELS: u64 = 50_000_000;
/// Pixels on an edge of a picture.
pub const MAX_EDGE: u32 = 16_384;
/// Pixels on the longer edge of the picture that is sent to a model. Anthropic and OpenAI reduce larger ones.
pub const EDGE: u32 = 1568;
/// Bytes of the picture that is sent to a model. As base64 it has less than 5 MB, the smallest limit of a
/// model server.
pub const MAX_READY_BYTES: usize = 7 << 19;
/// Bytes of all pictures of a run as base64. Model servers take requests of 32 MB, and the conversation needs
/// room too.
pub const MAX_BASE64_BYTES: usize = 28 << 20;
/// Processes of one worker at once. Two have 1 GiB of memory.
const PROCESSES: usize = 2;
/// How long one picture may take on the busiest machine. The process has less processor time.
const DEADLINE: Duration = Duration::from_mins(2);

/// Why a model cannot be shown a file.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The picture could not be read. This says nothing about the picture.
    #[error("failed to read a picture: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Store(#[from] WorkspaceError),
}

impl PictureError {
    /// For metrics and the log.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::Unavailable(_) => "unavailable",
            Self::Store(_) => "not_stored",
        }
    }
}

/// Reads the pictures of all runs of a worker.
pub struct Pictures {
    program: PathBuf,
    deadline: Duration,
    /// One for each process.
    permits: Semaphore,
    turns: Turns,
}

/// The turn of a run to read its pictures, one after the other.
pub struct Turn<'p> {
    pictures: &'p Pictures,
    memory: PictureMemory,
    _guard: OwnedMutexGuard<()>,
}

impl Pictures {
    /// `program`: the path of picture-reader.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, deadline: DEADLINE, permits: Semaphore::new(PROCESSES), turns: Turns::new() }
    }

    /// The same with another deadline for each picture.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Waits for the turn of a run, and for memory for its pictures, whose files have these sizes. An account
    /// has one turn at a time, so it uses one process at most.
    pub async fn turn(&self, account: UserId, sizes: &[u64]) -> Result<Turn<'_>, PictureError> {
        let (turn, memory) = self.turns.take(account, most_bytes(sizes)).await.map_err(stopping)?;
        Ok(Turn { pictures: self, memory, _guard: turn })
    }

    async fn read(&self, file: &[u8]) -> Result<ReadyPicture, PictureError> {
        let _permit = self.permits.acquire().await.map_err(stopping)?;
        let asking = tokio::time::timeout(self.deadline, child::ask(&self.program, file));
        let (format, bytes) = asking.await.unwrap_or_else(|_| Err(Refusal::TooSlow.into()))?;
        Ok(ReadyPicture { media_type: format.media_type().to_owned(), bytes })
    }
}

impl Turn<'_> {
    /// The picture of an input file, as a model is shown it.
    pub async fn of_file(&mut self, store: &Artifacts, file: &InputFile) -> Result<Picture, PictureError> {
        self.read(fetch(store, file)).await.map(|ready| ready.picture())
    }

    /// The picture in these bytes, as a model is shown it.
    pub async fn of_bytes(&mut self, bytes: Vec<u8>) -> Result<Picture, PictureError> {
        self.ready(bytes).await.map(|ready| ready.picture())
    }

    /// The same as bytes, which can be stored.
    pub async fn ready(&mut self, bytes: Vec<u8>) -> Result<ReadyPicture, PictureError> {
        self.read(std::future::ready(Ok(bytes))).await
    }

    /// The store may be slow, so no process waits for it.
    async fn read(
        &mut self,
        fetching: impl Future<Output = Result<Vec<u8>, PictureError>>,
    ) -> Result<ReadyPicture, PictureError> {
        let read = match fetching.await {
            Ok(file) => self.pictures.read(&file).await,
            Err(error) => Err(error),
        };
        let outcome = read.as_ref().map_or_else(PictureError::outcome, |_| "ready");
        metrics::counter!("capi_pictures_total", "outcome" => outcome).increment(1);
        read
    }

    /// Ends the turn. The caller holds the memory as long as it holds the pictures, which have so many bytes
    /// as base64.
    #[must_use]
    pub fn end(mut self, bytes: usize) -> PictureMemory {
        self.memory.shrink_to(bytes);
        self.memory
    }
}

/// Bytes that a run may need while it reads its pictures: the largest file, and all pictures as base64. The
/// sizes of the files do not bound the latter: a small WebP or GIF may become a large PNG.
fn most_bytes(sizes: &[u64]) -> usize {
    let pictures = sizes.len().saturating_mul(MAX_READY_BYTES.div_ceil(3) * 4).min(MAX_BASE64_BYTES);
    let largest = sizes.iter().copied().max().unwrap_or_default().min(MAX_INPUT_BYTES);
    pictures.saturating_add(usize::try_from(largest).unwrap_or(usize::MAX))
}

fn stopping(_: AcquireError) -> PictureError {
    PictureError::Unavailable("the worker stops".to_owned())
}

async fn fetch(store: &Artifacts, file: &InputFile) -> Result<Vec<u8>, PictureError> {
    if file.size > MAX_INPUT_BYTES {
        return Err(Refusal::TooMuchMemory.into());
    }
    Ok(fetch_object(store, &file.key, file.size, &file.sha256).await?)
}

/// An object that must have this size and this hash.
async fn fetch_object(
    store: &Artifacts,
    key: &ObjectKey,
    size: u64,
    sha256: &str,
) -> Result<Vec<u8>, WorkspaceError> {
    let changed = || WorkspaceError::Changed(key.to_string());
    let most = usize::try_from(size).unwrap_or(usize::MAX);
    let bytes = store.get_small(key, most).await?.ok_or_else(changed)?;
    if hex(digest(&SHA256, &bytes).as_ref()) == sha256 { Ok(bytes) } else { Err(changed()) }
}
