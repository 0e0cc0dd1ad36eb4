//! Snapshots of a workspace: regular files and directories with their names, content, times and execute bits.
//! Links, FIFOs and devices are left out. No command runs in the workspace meanwhile.
//!
//! A snapshot costs what changed. Files are cut into chunks of 1 MiB. A **pack** is an object with new
//! chunks; the **manifest** is an object that lists all files, and where their chunks are. Its hash is in the
//! event.
//! `walk` finds what changed since the last snapshot of this worker, `packs` writes new chunks, `compact`
//! rewrites packs that hold little, and `restore` checks the hash of every chunk.

mod chunk;
mod compact;
mod manifest;
mod packs;
mod restore;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use shared::storage::PackId;

pub(super) use chunk::Tagger;
pub(super) use manifest::{decode, encode};
pub(super) use packs::Packs;
pub(super) use restore::Restore;

use super::WorkspaceError;
use super::measure::{Quota, QuotaExceeded};
use chunk::Chunk;
use compact::compact;
use walk::{Stamp, Walk};

/// Bytes of the names of all files and directories, with their paths. The worker keeps them in memory, and a
/// program could make paths of 16 KiB.
const MAX_PATH_BYTES: usize = 4 << 20;

/// Bytes of one path. The kernel opens no longer one, so a restore could not.
const MAX_PATH: usize = 4095;

/// The content of a snapshot, and what this worker knows about the files that it saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    files: BTreeMap<PathBuf, FileContent>,
    dirs: BTreeSet<PathBuf>,
    /// The packs that hold the chunks, with their sizes.
    packs: BTreeMap<PackId, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileContent {
    executable: bool,
    /// Seconds and nanoseconds of the last change.
    modified: (i64, u32),
    chunks: Vec<Chunk>,
    /// The file as this worker last saw it. `None` for a file that was just restored.
    stamp: Option<Stamp>,
}

impl Content {
    pub(super) fn packs(&self) -> impl Iterator<Item = PackId> {
        self.packs.keys().copied()
    }

    /// Whether both stand for the same files.
    fn is_same(&self, other: &Self) -> bool {
        let shown = |content: &FileContent| (content.executable, content.modified);
        let same_file = |(own, others): ((&PathBuf, &FileContent), (&PathBuf, &FileContent))| {
            let chunks = own.1.chunks.iter().map(|chunk| chunk.sha256);
            own.0 == others.0
                && shown(own.1) == shown(others.1)
                && chunks.eq(others.1.chunks.iter().map(|chunk| chunk.sha256))
        };
        self.dirs == other.dirs
            && self.files.len() == other.files.len()
            && self.files.iter().zip(&other.files).all(same_file)
    }

    /// Drops the packs that hold no chunk any more.
    fn keep_used_packs(&mut self) {
        let used: BTreeSet<PackId> =
            self.files.values().flat_map(|file| &file.chunks).map(|chunk| chunk.pack).collect();
        self.packs.retain(|pack, _| used.contains(pack));
    }
}

/// What a look at the workspace found.
pub(super) enum Looked {
    /// The files are those of the last snapshot. The content has newer stamps.
    Same(Content),
    Changed(Content),
}

/// Compares the workspace with its last snapshot, and hands new chunks to `packs`.
pub(super) fn look(
    workspace: &Path,
    probe: &Path,
    last: &Content,
    tagger: &Tagger,
    quota: &Quota,
    packs: &mut Packs<'_>,
) -> Result<Looked, WorkspaceError> {
    let mut content = Walk::new(workspace, probe, last, tagger, quota)?.content(packs)?;
    content.keep_used_packs();
    if content.is_same(last) {
        return Ok(Looked::Same(content));
    }
    compact(workspace, &mut content, tagger, packs)?;
    packs.finish()?;
    content.packs.extend(packs.written());
    content.keep_used_packs();
    Ok(Looked::Changed(content))
}

fn too_many_names() -> WorkspaceError {
    WorkspaceError::QuotaExceeded(QuotaExceeded::Names(MAX_PATH_BYTES))
}

fn changed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
