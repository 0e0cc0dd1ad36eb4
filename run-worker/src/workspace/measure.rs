//! Measures a workspace from outside, also while programs change it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::root_dir::{Entries, RootDir, TO_READ, open_dir_at};

/// The limits of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of files and directories. A sparse file counts with its full size.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
    /// Levels of directories.
    pub depth: usize,
}

/// A command may write this much beyond the limit before the worker ends it (bar H3). A snapshot may hold it
/// too, so that the model can clean up.
const SLACK_BYTES: u64 = 64 << 20;
const SLACK_ENTRIES: u64 = 2000;
const SLACK_DEPTH: usize = 64;

impl Quota {
    /// What a snapshot of an over-full workspace may hold.
    #[must_use]
    pub const fn with_slack(self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(SLACK_BYTES),
            entries: self.entries.saturating_add(SLACK_ENTRIES),
            depth: self.depth.saturating_add(SLACK_DEPTH),
        }
    }
}

/// Which limit a workspace exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaExceeded {
    Bytes(u64),
    Entries(u64),
    Depth(usize),
    /// Bytes of all paths together.
    Names(usize),
    /// Bytes of one path.
    Path(usize),
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(max) => {
                write!(f, "the workspace holds more than {max} bytes")
            }
            Self::Entries(max) => write!(f, "the workspace holds more than {max} files and directories"),
            Self::Depth(max) => write!(f, "the workspace has directories more than {max} levels deep"),
            Self::Names(max) => {
                write!(f, "the paths of the workspace's files have more than {max} bytes together")
            }
            Self::Path(max) => write!(f, "the workspace has a path of more than {max} bytes"),
        }
    }
}

/// The size of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    pub bytes: u64,
    /// The same, without the gaps of sparse files.
    pub on_disk: u64,
    /// Files and directories.
    pub entries: u64,
    /// Levels of directories.
    pub depth: usize,
}

/// Measures everything below `dir`.
pub fn measure(dir: &Path, quota: &Quota) -> io::Result<Result<Measured, QuotaExceeded>> {
    let mut sum = Measured::default();
    // Depth first: no more directories are open than there are levels.
    let mut open: Vec<(OwnedFd, Entries)> = Vec::new();
    let top = RootDir::open(dir)?.dir(Path::new(""))?;
    let entries = Entries::of(&top)?;
    open.push((top, entries));
    while let Some((dir, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        let stat = match statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        sum.entries += 1;
        let on_disk = stat.st_blocks.unsigned_abs() * 512;
        sum.on_disk += on_disk;
        sum.bytes = sum.bytes.saturating_add(on_disk.max(stat.st_size.unsigned_abs()));
        if sum.bytes > quota.bytes {
            return Ok(Err(QuotaExceeded::Bytes(quota.bytes)));
        }
        if sum.entries > quota.entries {
            return Ok(Err(QuotaExceeded::Entries(quota.entries)));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = match open_dir_at(&*dir, name, TO_READ) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                inner => inner?,
            };
            if open.len() > quota.depth {
                return Ok(Err(QuotaExceeded::Depth(quota.depth)));
            }
            sum.depth = sum.depth.max(open.len());
            let entries = Entries::of(&inner)?;
            open.push((inner, entries));
        }
    }
    Ok(Ok(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn bytes_entries_and_depth_are_limited() {
        let dir = tempfile::tempdir().unwrap();
        let quota = Quota { bytes: 100_000, entries: 10, depth: 3 };
        let measured = || measure(dir.path(), &quota).unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        let found = measured().unwrap();
        assert_eq!((found.entries, found.depth), (3, 2));

        let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(100_000).unwrap();
        assert_eq!(measured(), Err(QuotaExceeded::Bytes(100_000)));
        fs::remove_file(dir.path().join("sparse")).unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        assert!(measured().is_ok());
        fs::create_dir_all(dir.path().join("a/b/c/d")).unwrap();
        assert_eq!(measured(), Err(QuotaExceeded::Depth(3)));
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        (0..11).for_each(|at| fs::write(dir.path().join(at.to_string()), "").unwrap());
        assert_eq!(measured(), Err(QuotaExceeded::Entries(10)));
    }
}
