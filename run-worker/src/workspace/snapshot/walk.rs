//! Walks through the workspace, and reads only the files that may have changed since the last snapshot.
//!
//! **When a file counts as unchanged.** Its device, inode, size and ctime are those that this worker saw, and
//! that ctime was in the past when the worker looked. No program can set a ctime, and the kernel sets it at
//! each change, so all later changes have a later ctime. A ctime of the very moment of the look says nothing:
//! the clock of a file system has ticks of milliseconds or seconds. The file is then read again next time.
//! The moment comes from a file made in the same file system, so both have the same clock.
//!
//! **Writes through a mapping.** The kernel sets the ctime at the first write to a page, not at each. That is
//! enough: no command runs during the look, a mapping ends with its command, and the next command's first
//! write to a page faults again. But tmpfs maps a page that was only read as writable, and then sees no first
//! write. So ctimes are trusted only on file systems that are known to see it. On all others the worker reads
//! every file again and compares tags.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstatfs, openat, statat};

use super::super::WorkspaceError;
use super::super::measure::{Quota, QuotaExceeded};
use super::super::path::INPUTS;
use super::super::root_dir::{Entries, RootDir, TO_READ, open_dir_at, restore_rights};
use super::chunk::{CHUNK_BYTES, Chunk, Tagger};
use super::packs::Packs;
use super::{Content, FileContent, MAX_PATH, MAX_PATH_BYTES, too_many_names};

/// ext4, XFS, Btrfs and overlayfs (linux/magic.h). A container's overlay lies on one of the others.
const TRUSTED: [i64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x794C_7630];

/// A file as the worker saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    /// The ctime.
    changed: Time,
    /// The ctime was in the past.
    settled: bool,
}

type Time = (i64, u32);

pub(super) struct Walk<'w> {
    workspace: &'w Path,
    last: &'w Content,
    by_inode: HashMap<(u64, u64), &'w FileContent>,
    tagger: &'w Tagger,
    quota: &'w Quota,
    /// The time of the file system. `None` if its ctimes are not trusted.
    now: Option<Time>,
    content: Content,
    bytes: u64,
    entries: u64,
    path_bytes: usize,
    buffer: Vec<u8>,
}

impl<'w> Walk<'w> {
    /// `probe` is the path for a file of the worker in the same file system.
    pub(super) fn new(
        workspace: &'w Path,
        probe: &Path,
        last: &'w Content,
        tagger: &'w Tagger,
        quota: &'w Quota,
    ) -> io::Result<Self> {
        let stamped = |file: &'w FileContent| file.stamp.map(|stamp| (stamp.inode, file));
        Ok(Self {
            workspace,
            last,
            by_inode: last.files.values().filter_map(stamped).collect(),
            tagger,
            quota,
            now: file_system_time(probe)?,
            content: Content { packs: last.packs.clone(), ..Content::default() },
            bytes: 0,
            entries: 0,
            path_bytes: 0,
            buffer: Vec::with_capacity(CHUNK_BYTES + 64),
        })
    }

    /// The present content. New chunks go to `packs`.
    pub(super) fn content(mut self, packs: &mut Packs<'_>) -> Result<Content, WorkspaceError> {
        packs.know(self.last.files.values().flat_map(|file| file.chunks.iter().copied()));
        let top = RootDir::open(self.workspace)?.dir(Path::new(""))?;
        let entries = Entries::of(&top).map_err(io::Error::from)?;
        // Depth first: no more directories are open than there are levels.
        let mut open = vec![(top, entries, PathBuf::new())];
        while let Some((dir, entries, path)) = open.last_mut() {
            let Some(entry) = entries.next() else {
                open.pop();
                continue;
            };
            let entry = entry.map_err(io::Error::from)?;
            let name = entry.file_name();
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let stat = statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
            self.count(&path, &stat)?;
            if path == Path::new(INPUTS) {
                continue;
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let inner = open_dir_at(&*dir, name, TO_READ).map_err(io::Error::from)?;
                    if open.len() > self.quota.depth {
                        return Err(exceeded(QuotaExceeded::Depth(self.quota.depth)));
                    }
                    let entries = Entries::of(&inner).map_err(io::Error::from)?;
                    self.content.dirs.insert(path.clone());
                    open.push((inner, entries, path));
                }
                FileType::RegularFile => {
                    let file = self.file(dir, name, &path, &stat, packs)?;
                    self.content.files.insert(path, file);
                }
                _ => {}
            }
        }
        self.content.packs.extend(packs.written());
        Ok(self.content)
    }

    /// Checks the quota before anything is read: a sparse file may be huge.
    fn count(&mut self, path: &Path, stat: &Stat) -> Result<(), WorkspaceError> {
        let on_disk = stat.st_blocks.unsigned_abs() * 512;
        self.bytes = self.bytes.saturating_add(on_disk.max(stat.st_size.unsigned_abs()));
        self.entries += 1;
        self.path_bytes += path.as_os_str().len();
        if self.bytes > self.quota.bytes {
            return Err(exceeded(QuotaExceeded::Bytes(self.quota.bytes)));
        }
        if self.entries > self.quota.entries {
            return Err(exceeded(QuotaExceeded::Entries(self.quota.entries)));
        }
        if path.as_os_str().len() > MAX_PATH {
            return Err(exceeded(QuotaExceeded::Path(MAX_PATH)));
        }
        if self.path_bytes > MAX_PATH_BYTES { Err(too_many_names()) } else { Ok(()) }
    }

    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &CStr,
        path: &Path,
        stat: &Stat,
        packs: &mut Packs<'_>,
    ) -> io::Result<FileContent> {
        let changed = time(stat.st_ctime, stat.st_ctime_nsec);
        let stamp = Stamp {
            inode: (stat.st_dev, stat.st_ino),
            size: stat.st_size.unsigned_abs(),
            changed,
            settled: self.now.is_some_and(|now| changed < now),
        };
        let seen = self.by_inode.get(&stamp.inode).copied();
        let unchanged = seen.filter(|file| {
            file.stamp.is_some_and(|old| old.settled && (old.size, old.changed) == (stamp.size, changed))
        });
        let chunks = if let Some(file) = unchanged {
            file.chunks.clone()
        } else {
            // Programs change a file in place, or they put a new one in its place.
            let last = self.last;
            let before = seen.or_else(|| last.files.get(path)).map_or(&[][..], |file| &file.chunks[..]);
            self.read(open_file(dir, name)?, stamp.size, before, packs)?
        };
        Ok(FileContent {
            executable: stat.st_mode & 0o100 != 0,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            chunks,
            stamp: Some(stamp),
        })
    }

    /// Reads a file. Only chunks that differ from those `before` are hashed and compressed.
    fn read(
        &mut self,
        file: File,
        size: u64,
        before: &[Chunk],
        packs: &mut Packs<'_>,
    ) -> io::Result<Vec<Chunk>> {
        let (mut file, mut chunks) = (file.take(size), Vec::new());
        loop {
            self.buffer.clear();
            file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut self.buffer)?;
            if self.buffer.is_empty() {
                return Ok(chunks);
            }
            let tag = self.tagger.tag(&self.buffer)?;
            let same = before.get(chunks.len()).copied();
            let same = same.filter(|old| old.tag == tag && old.size as usize == self.buffer.len());
            chunks.push(match same {
                Some(chunk) => chunk,
                None => packs.add(&self.buffer, tag)?,
            });
        }
    }
}

/// The ctime that a change gets now.
fn file_system_time(probe: &Path) -> io::Result<Option<Time>> {
    let file = File::create_new(probe)?;
    let times = file.metadata().map(|file| time(file.ctime(), file.ctime_nsec()));
    let kind = fstatfs(&file).map(|found| found.f_type);
    std::fs::remove_file(probe)?;
    Ok(TRUSTED.contains(&kind?).then_some(times?))
}

fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> Time {
    (seconds, nanoseconds.try_into().unwrap_or(0))
}

fn exceeded(what: QuotaExceeded) -> WorkspaceError {
    WorkspaceError::QuotaExceeded(what)
}

/// If the owner removed its own right to read the file, that right is restored.
fn open_file(dir: &OwnedFd, name: &CStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(dir, name, flags, Mode::empty()) {
        return Ok(file.into());
    }
    let pinned = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    restore_rights(&pinned, Mode::RUSR)?;
    Ok(openat(dir, name, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn a_path_that_cannot_be_opened_is_refused() {
        let workspace = tempfile::tempdir().unwrap();
        let (probes, tagger, last) =
            (tempfile::tempdir().unwrap(), Tagger::new().unwrap(), Content::default());
        let quota = Quota { bytes: 1 << 20, entries: 100, depth: 20 };
        let walk = || {
            let (mut store, probe) = (|_, _| Ok(()), probes.path().join("probe"));
            let walk = Walk::new(workspace.path(), &probe, &last, &tagger, &quota).unwrap();
            walk.content(&mut Packs::new(1, 1, &mut store)).map(drop)
        };
        let mut dir = RootDir::open(workspace.path()).unwrap().dir(Path::new("")).unwrap();
        let mut make = |name: &str| {
            mkdirat(&dir, name, Mode::RWXU).unwrap();
            dir = openat(&dir, name, OFlags::RDONLY, Mode::empty()).unwrap();
        };
        // With their slashes, 3840 bytes.
        (0..15).for_each(|_| make(&"d".repeat(255)));
        make(&"d".repeat(254));
        walk().unwrap();
        make("d");
        let refused = walk();
        assert!(
            matches!(refused, Err(WorkspaceError::QuotaExceeded(QuotaExceeded::Path(4095)))),
            "{refused:?}"
        );
    }
}
