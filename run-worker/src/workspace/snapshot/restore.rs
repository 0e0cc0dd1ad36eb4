//! Fills an empty workspace from a snapshot, pack by pack.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shared::storage::PackId;

use super::super::root_dir::RootDir;
use super::Content;
use super::chunk::{CHUNK_BYTES, Chunk, extract};

pub(in crate::workspace) struct Restore {
    root: RootDir,
    content: Content,
    /// Where the chunks of each pack belong.
    places: BTreeMap<PackId, Vec<(PathBuf, u64, Chunk)>>,
}

impl Restore {
    /// Makes the directories and the empty files. They belong to `owner`.
    pub(in crate::workspace) fn begin(
        workspace: &Path,
        content: Content,
        owner: Option<u32>,
    ) -> io::Result<Self> {
        let root = RootDir::open(workspace)?;
        for path in &content.dirs {
            root.make_dirs(path, owner)?;
        }
        let mut places: BTreeMap<PackId, Vec<_>> = BTreeMap::new();
        for (path, file) in &content.files {
            root.create(path, owner)?;
            for (at, chunk) in file.chunks.iter().enumerate() {
                let offset = at as u64 * CHUNK_BYTES as u64;
                places.entry(chunk.pack).or_default().push((path.clone(), offset, *chunk));
            }
        }
        Ok(Self { root, content, places })
    }

    /// The packs that it needs, and their sizes.
    pub(in crate::workspace) fn packs(&self) -> Vec<(PackId, u64)> {
        self.content.packs.iter().map(|(pack, size)| (*pack, *size)).collect()
    }

    /// Writes the chunks of a pack. Returns false if one differs from what was stored.
    pub(in crate::workspace) fn write(&mut self, id: PackId, pack: &[u8]) -> io::Result<bool> {
        for (path, offset, chunk) in self.places.remove(&id).unwrap_or_default() {
            let Some(bytes) = extract(&chunk, pack) else { return Ok(false) };
            let mut file = self.root.open_to_write(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&bytes)?;
        }
        Ok(true)
    }

    /// Sets modes and times. Returns the content, for the next snapshot.
    pub(in crate::workspace) fn finish(self) -> io::Result<Content> {
        for (path, content) in &self.content.files {
            let file = self.root.open_to_write(path)?;
            let mode = if content.executable { 0o755 } else { 0o644 };
            file.set_permissions(Permissions::from_mode(mode))?;
            if let Some(modified) = system_time(content.modified) {
                file.set_modified(modified)?;
            }
        }
        Ok(self.content)
    }
}

/// `None` if it is out of range: a program can set any time.
fn system_time((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base?.checked_add(Duration::from_nanos(nanoseconds.into()))
}
