//! What a workspace holds, measured from outside, also while programs change it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::beneath::{Root, TO_READ, open_dir_at};
use super::remove::is_dots;

/// What a workspace may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of its files, however sparse, and of its directories.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
    /// Levels of directories.
    pub depth: usize,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// More than so many bytes.
    Bytes(u64),
    /// More than so many files and directories.
    Entries(u64),
    /// More than so many levels of directories.
    Depth(usize),
    /// More than the disk of the worker has.
    Disk,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(most) => {
                write!(f, "the workspace holds more than {most} bytes; raise limits.workspace_bytes")
            }
            Self::Entries(most) => write!(f, "the workspace holds more than {most} files and directories"),
            Self::Disk => write!(f, "the worker's disk is nearly full"),
            Self::Depth(most) => write!(f, "the workspace has directories more than {most} levels deep"),
        }
    }
}

/// See [`measure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Of all files and directories.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
    /// Changes with any change: names, sizes, times of the kernel's.
    pub fingerprint: u64,
}

/// Measures what is beneath `dir`.
pub fn measure(dir: &Path, allowance: &Allowance) -> io::Result<Result<Measured, Excess>> {
    let mut sum = Measured::default();
    // Depth first: no more directories are open than there are levels.
    let mut open: Vec<(OwnedFd, Dir, u64)> = Vec::new();
    let top = Root::open(dir)?.dir(Path::new(""))?;
    let entries = Dir::read_from(&top)?;
    open.push((top, entries, 0));
    while let Some((dir, entries, place)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name.to_bytes()) {
            continue;
        }
        let stat = match statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let mut hasher = DefaultHasher::new();
        (*place, name.to_bytes(), stat.st_ino, stat.st_mode, stat.st_size).hash(&mut hasher);
        (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec).hash(&mut hasher);
        let own = hasher.finish();
        sum.fingerprint = sum.fingerprint.wrapping_add(own);
        sum.entries += 1;
        let on_disk = stat.st_blocks.unsigned_abs() * 512;
        sum.bytes = sum.bytes.saturating_add(on_disk.max(stat.st_size.unsigned_abs()));
        if sum.bytes > allowance.bytes {
            return Ok(Err(Excess::Bytes(allowance.bytes)));
        }
        if sum.entries > allowance.entries {
            return Ok(Err(Excess::Entries(allowance.entries)));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = match open_dir_at(&*dir, name, TO_READ) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                inner => inner?,
            };
            if open.len() > allowance.depth {
                return Ok(Err(Excess::Depth(allowance.depth)));
            }
            let entries = Dir::read_from(&inner)?;
            open.push((inner, entries, own));
        }
    }
    Ok(Ok(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn bytes_entries_and_depth_are_bounded_and_changes_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let allowance = Allowance { bytes: 100_000, entries: 10, depth: 3 };
        let look = || measure(dir.path(), &allowance).unwrap();
        let empty = look().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        let first = look().unwrap();
        assert_eq!((first.entries, look().unwrap()), (3, first), "nothing changed");
        assert_ne!(first.fingerprint, empty.fingerprint);
        fs::write(dir.path().join("a/b/file"), "y").unwrap();
        assert_ne!(look().unwrap().fingerprint, first.fingerprint);

        let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(100_000).unwrap();
        assert_eq!(look(), Err(Excess::Bytes(100_000)));
        fs::remove_file(dir.path().join("sparse")).unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        assert!(look().is_ok());
        fs::create_dir_all(dir.path().join("a/b/c/d")).unwrap();
        assert_eq!(look(), Err(Excess::Depth(3)));
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        (0..11).for_each(|at| fs::write(dir.path().join(at.to_string()), "").unwrap());
        assert_eq!(look(), Err(Excess::Entries(10)));
    }
}
