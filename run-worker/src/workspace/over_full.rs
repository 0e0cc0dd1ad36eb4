//! A workspace that holds more than it may. The result names the largest files, and the model may
//! clean up.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;

use super::measure::{Quota, QuotaExceeded, measure};
use super::path::INPUTS;
use super::remove::remove_tree;
use super::root_dir::{Entries, RootDir, TO_READ, open_dir_at};
use super::{Workspace, WorkspaceError};

/// So many files are named: mostly a few make up the size.
const NAMED: usize = 5;

/// What is wrong with an over-full workspace.
#[derive(Debug)]
pub struct OverFull {
    pub exceeded: QuotaExceeded,
    /// The largest files with their bytes, largest first.
    pub largest: Vec<(PathBuf, u64)>,
}

impl Workspace {
    /// The quota of a command that begins now. It may run in an over-full workspace, which must not grow.
    pub fn quota_to_begin(&self) -> io::Result<Quota> {
        let (quota, slack) = (self.quota(), self.quota().with_slack());
        let Ok(holds) = measure(&self.mounts().workspace, &slack)? else { return Ok(slack) };
        Ok(Quota {
            bytes: quota.bytes.max(holds.bytes),
            entries: quota.entries.max(holds.entries),
            depth: quota.depth.max(holds.depth),
        })
    }

    /// Which limit the workspace exceeds, if it exceeds one.
    pub fn over_full(&self) -> io::Result<Option<OverFull>> {
        let Err(exceeded) = self.measure()? else { return Ok(None) };
        let largest = largest(&self.mounts().workspace, &self.quota().with_slack())?;
        Ok(Some(OverFull { exceeded, largest }))
    }

    pub(crate) async fn is_over_full(&self) -> Result<bool, WorkspaceError> {
        let workspace = self.clone();
        let measuring = self.tasks().spawn_blocking(move || workspace.measure());
        Ok(measuring.await.map_err(io::Error::other)??.is_err())
    }

    /// Removes all files. The mount point of the caller's files stays.
    pub(super) fn empty(&self) -> io::Result<()> {
        let path = self.mounts().workspace;
        let top = RootDir::open(&path)?.dir(Path::new(""))?;
        let mut names = Vec::new();
        for entry in Entries::of(&top)? {
            names.push(entry?.file_name().to_owned());
        }
        for name in names.into_iter().filter(|name| name.to_bytes() != INPUTS.as_bytes()) {
            match unlinkat(&top, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    remove_tree(&path.join(OsStr::from_bytes(name.to_bytes())))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The largest files below `dir`. Looks at as many files as `bound` allows.
fn largest(dir: &Path, bound: &Quota) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found: Vec<(PathBuf, u64)> = Vec::new();
    let mut looked_at = 0;
    let top = RootDir::open(dir)?.dir(Path::new(""))?;
    let entries = Entries::of(&top)?;
    // Depth first: no more directories are open than there are levels.
    let mut open = vec![(top, entries, PathBuf::new())];
    while let Some((dir, entries, path)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        looked_at += 1;
        if looked_at > bound.entries {
            break;
        }
        let entry = entry?;
        let name = entry.file_name();
        let stat = match statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = open_dir_at(&*dir, name, TO_READ)?;
            if open.len() <= bound.depth {
                let entries = Entries::of(&inner)?;
                open.push((inner, entries, path));
            }
        } else {
            let bytes = (stat.st_blocks.unsigned_abs() * 512).max(stat.st_size.unsigned_abs());
            found.push((path, bytes));
            found.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
            found.truncate(NAMED);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_largest_files_are_found_with_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for (name, size) in [("small", 1), ("a/large", 30_000), ("a/b/larger", 50_000), ("medium", 9000)] {
            fs::write(dir.path().join(name), vec![1; size]).unwrap();
        }
        (0..NAMED).for_each(|at| fs::write(dir.path().join(format!("a/{at}")), "").unwrap());
        let bound = Quota { bytes: 1, entries: 100, depth: 5 };
        let found = largest(dir.path(), &bound).unwrap();
        let names: Vec<_> = found.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!((names.len(), &names[..3]), (NAMED, &["a/b/larger", "a/large", "medium"][..]));
        assert!(found[0].1 >= 50_000);
        assert!(largest(dir.path(), &Quota { depth: 0, ..bound }).unwrap().len() == 2, "not below");
    }
}
