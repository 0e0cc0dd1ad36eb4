//! Access to a directory that hostile programs can write to. The kernel resolves each path below the
//! directory (`openat2`), so a link that a program swaps in cannot lead outside. Only regular files are
//! opened.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// How a directory is opened that may lack its owner's rights.
const PINNED: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::PATH);

/// The rights that reading a directory needs.
pub(super) const TO_READ: Mode = Mode::RUSR.union(Mode::XUSR);

#[derive(Debug)]
pub struct RootDir(OwnedFd);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListedFile {
    /// Relative to the listed directory. The path of a directory ends with a slash.
    pub(crate) path: String,
    /// None for a directory.
    pub(crate) size: Option<u64>,
}

impl RootDir {
    /// A command may have removed its own rights to the directory. They are restored, or the next sandbox
    /// could not use it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self(open_dir_at(CWD, dir, Mode::RWXU)?))
    }

    /// Opens a regular file for reading.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        if path.as_os_str().is_empty() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Non-blocking: opening a FIFO must not wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat2(&self.0, path, flags, Mode::empty(), BENEATH)?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::other("is not a regular file")),
        }
    }

    /// Makes an empty file for `owner`, and missing directories on its path.
    pub(super) fn create(&self, path: &Path, owner: Option<u32>) -> io::Result<()> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        let dir = self.make_dirs(path.parent().unwrap_or(Path::new("")), owner)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        if let Some(owner) = owner {
            fchown(&file, Some(owner), Some(owner))?;
        }
        Ok(())
    }

    /// Opens a file that [`Self::create`] made.
    pub(super) fn open_to_write(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(openat2(&self.0, path, flags, Mode::empty(), BENEATH)?.into())
    }

    /// Opens a directory. The empty path is the root itself.
    pub(crate) fn dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(openat2(&self.0, path, flags, Mode::empty(), BENEATH)?)
    }

    /// Writes a file for `owner`, as a whole or not at all, and makes missing directories on its path.
    pub fn write(
        &self,
        path: &Path,
        source: &mut dyn io::Read,
        mode: u32,
        owner: Option<u32>,
    ) -> io::Result<u64> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        let dir = self.make_dirs(path.parent().unwrap_or(Path::new("")), owner)?;
        let temporary = format!(".capi-{}", uuid::Uuid::now_v7().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
        let written = io::copy(source, &mut file).and_then(|bytes| {
            file.flush()?;
            file.set_permissions(Permissions::from_mode(mode))?;
            if let Some(owner) = owner {
                fchown(&file, Some(owner), Some(owner))?;
            }
            renameat(&dir, &temporary, &dir, name)?;
            Ok(bytes)
        });
        if written.is_err() {
            let _ = unlinkat(&dir, &temporary, AtFlags::empty());
        }
        written
    }

    /// Makes the missing directories of a path for `owner`. Returns the last one.
    pub(crate) fn make_dirs(&self, path: &Path, owner: Option<u32>) -> io::Result<OwnedFd> {
        let mut dir = self.dir(Path::new(""))?;
        for part in path.components() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Component::Normal(part) = part else {
                return Err(io::Error::other("leads outside"));
            };
            match mkdirat(&dir, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let made = openat(&dir, part, flags, Mode::empty())?;
                    if let Some(owner) = owner {
                        fchown(&made, Some(owner), Some(owner))?;
                    }
                    dir = made;
                }
                Err(Errno::EXIST) => dir = openat(&dir, part, flags, Mode::empty())?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(dir)
    }

    /// Lists a directory and everything below it, up to `max` entries, the highest directories first. Also
    /// returns whether there are more.
    pub(crate) fn list(&self, path: &Path, max: usize) -> io::Result<(Vec<ListedFile>, bool)> {
        let top = self.dir(path)?;
        let mut listed = Vec::new();
        // Paths, and not open directories: a program may make more of them than the worker may open.
        let mut waiting = VecDeque::from([PathBuf::from(".")]);
        while let Some(below) = waiting.pop_front() {
            let dir = match open_below(&top, &below, TO_READ) {
                Ok(dir) => dir,
                // It is gone, or no tool can use a path of this length.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in Entries::of(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                if listed.len() == max {
                    listed.sort();
                    return Ok((listed, true));
                }
                let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let path = below.join(OsStr::from_bytes(name.to_bytes()));
                let shown = path.strip_prefix(".").unwrap_or(&path).to_string_lossy().into_owned();
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    listed.push(ListedFile { path: format!("{shown}/"), size: None });
                    waiting.push_back(path);
                } else {
                    listed.push(ListedFile { path: shown, size: Some(stat.st_size.unsigned_abs()) });
                }
            }
        }
        listed.sort();
        Ok((listed, false))
    }
}

/// The entries of a directory, without `.` and `..`.
pub(super) struct Entries(Dir);

impl Entries {
    pub(super) fn of(dir: &OwnedFd) -> Result<Self, Errno> {
        Ok(Self(Dir::read_from(dir)?))
    }
}

impl Iterator for Entries {
    type Item = Result<DirEntry, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_dots = |entry: &DirEntry| matches!(entry.file_name().to_bytes(), b"." | b"..");
        self.0.find(|entry| !entry.as_ref().is_ok_and(is_dots))
    }
}

/// Restores the owner's rights to a file or directory, if they are missing.
pub(super) fn restore_rights(pinned: &OwnedFd, needed: Mode) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(fstat(pinned)?.st_mode);
    if mode.contains(needed) {
        return Ok(());
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), mode | needed)
}

/// Opens a directory in a directory, never through a link, and restores its owner's rights. It does so
/// through one descriptor, so a program cannot put something else in its place meanwhile.
pub(super) fn open_dir_at(parent: impl AsFd, name: impl Arg + Copy, needed: Mode) -> Result<OwnedFd, Errno> {
    reopen(&openat(&parent, name, PINNED, Mode::empty())?, needed)
}

/// The same for a path below a directory. No part of the path leads outside.
fn open_below(top: &OwnedFd, path: &Path, needed: Mode) -> Result<OwnedFd, Errno> {
    reopen(&openat2(top, path, PINNED, Mode::empty(), BENEATH)?, needed)
}

fn reopen(pinned: &OwnedFd, needed: Mode) -> Result<OwnedFd, Errno> {
    restore_rights(pinned, needed)?;
    openat(pinned, ".", OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_below_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::write(inside.join("sub/file"), "fine").unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink(dir.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("sub/file", inside.join("harmless")).unwrap();
        symlink("/", inside.join("root")).unwrap();
        rustix::fs::mknodat(CWD, inside.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let root = RootDir::open(&inside).unwrap();
        let text = |path: &str| root.read(Path::new(path)).and_then(io::read_to_string);
        assert_eq!(text("sub/file").unwrap(), "fine");
        assert_eq!(text("harmless").unwrap(), "fine");
        for path in [
            "relative",
            "absolute",
            "root/etc/passwd",
            "../secret",
            "/etc/passwd",
            "sub/../../secret",
            "fifo",
            "sub",
        ] {
            assert!(text(path).is_err(), "{path}");
        }
        for path in ["root/tmp/x", "sub/file/x", "../x", "relative/x"] {
            assert!(root.write(Path::new(path), &mut &b"x"[..], 0o644, None).is_err(), "{path}");
        }
        root.write(Path::new("absolute"), &mut &b"mine"[..], 0o644, None).unwrap();
        assert_eq!(text("absolute").unwrap(), "mine", "a link is replaced and not followed");
        root.write(Path::new("new/dir/file"), &mut &b"x"[..], 0o644, None).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("secret")).unwrap(), "secret");
        let (listed, more) = root.list(Path::new("new"), 10).unwrap();
        let paths: Vec<_> = listed.iter().map(|one| (one.path.as_str(), one.size)).collect();
        assert_eq!((paths, more), (vec![("dir/", None), ("dir/file", Some(1))], false));
        let (listed, more) = root.list(Path::new(""), 7).unwrap();
        assert!(more && listed.iter().all(|file| !file.path.trim_end_matches('/').contains('/')));
        for path in ["", "sub"] {
            let error = root.read(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory, "{path:?}");
        }
    }

    #[test]
    fn a_listing_goes_level_by_level_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir_all(inside.join("a/b/c")).unwrap();
        fs::write(inside.join("a/b/c/file"), "1234").unwrap();
        fs::write(inside.join("a/x"), "").unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "").unwrap();
        symlink("../outside", inside.join("link")).unwrap();
        fs::set_permissions(inside.join("a/b"), Permissions::from_mode(0o0)).unwrap();
        let root = RootDir::open(&inside).unwrap();
        let paths = |path: &str, max| {
            let (listed, more) = root.list(Path::new(path), max).unwrap();
            (listed.into_iter().map(|one| one.path).collect::<Vec<_>>(), more)
        };
        let all = ["a/", "a/b/", "a/b/c/", "a/b/c/file", "a/x", "link"].map(String::from);
        assert_eq!(paths("", 6), (all.to_vec(), false), "the rights of a/b are restored");
        assert_eq!(paths("a/b", 10), (vec!["c/".to_owned(), "c/file".to_owned()], false));
        assert_eq!(paths("", 2), (vec!["a/".to_owned(), "link".to_owned()], true));
        assert!(root.list(Path::new("link"), 10).is_err());
    }
}
