//! Access to a directory that hostile programs write to. The kernel resolves each path beneath it (`openat2`), whatever links somebody
//! swaps in meanwhile, and only regular files are opened.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, renameat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

use super::remove::is_dots;

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// What reading a directory takes.
pub(super) const TO_READ: Mode = Mode::RUSR.union(Mode::XUSR);

/// A directory, and what is beneath it.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// One entry of a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// Relative to the listed directory.
    pub(crate) path: String,
    /// A directory has none.
    pub(crate) size: Option<u64>,
}

impl Root {
    /// Its owner may have taken the rights to it away; he gets them back, or the next sandbox could not use it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self(open_dir_at(CWD, dir, Mode::RWXU)?))
    }

    /// A regular file, for reading.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        // Non-blocking: a FIFO must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat2(&self.0, path, flags, Mode::empty(), BENEATH)?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::other("it is no regular file")),
        }
    }

    /// A directory beneath.
    pub(crate) fn dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(openat2(&self.0, path, flags, Mode::empty(), BENEATH)?)
    }

    /// Writes a file whole or not at all, with the directories on its way, for `owner`.
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

    /// Makes the directories of a path that are not there, for `owner`.
    pub(crate) fn make_dirs(&self, path: &Path, owner: Option<u32>) -> io::Result<OwnedFd> {
        let mut dir = self.dir(Path::new(""))?;
        for part in path.components() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Component::Normal(part) = part else {
                return Err(io::Error::other("it leads outside"));
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

    /// What is in a directory and the directories in it, at most `most` entries; and whether there are more.
    pub(crate) fn list(&self, path: &Path, most: usize) -> io::Result<(Vec<Listed>, bool)> {
        let (mut listed, mut open) = (Vec::new(), vec![(self.dir(path)?, String::new())]);
        while let Some((dir, prefix)) = open.pop() {
            for entry in Dir::read_from(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                if is_dots(name.to_bytes()) {
                    continue;
                }
                if listed.len() == most {
                    return Ok((listed, true));
                }
                let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let path = format!("{prefix}{}", name.to_string_lossy());
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    // The stack holds open directories: bounded by `most`, and by how many files may be open.
                    let inner = open_dir_at(&dir, name, TO_READ).map_err(io::Error::from);
                    listed.push(Listed { path: format!("{path}/"), size: None });
                    open.push((inner?, format!("{path}/")));
                } else {
                    listed.push(Listed { path, size: Some(stat.st_size.unsigned_abs()) });
                }
            }
        }
        listed.sort();
        Ok((listed, false))
    }
}

/// Gives the owner of what a descriptor stands for the needed rights, where he has not got them.
pub(super) fn give_back(pinned: &OwnedFd, needed: Mode) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(fstat(pinned)?.st_mode);
    if mode.contains(needed) {
        return Ok(());
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), mode | needed)
}

/// A directory in a directory, never through a link. One that its owner took the needed rights from gets them back: through a descriptor,
/// so that nobody can put something else in its place.
pub(super) fn open_dir_at(parent: impl AsFd, name: impl Arg + Copy, needed: Mode) -> Result<OwnedFd, Errno> {
    let dir = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let pinned = openat(&parent, name, dir | OFlags::PATH, Mode::empty())?;
    give_back(&pinned, needed)?;
    openat(&pinned, ".", OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_but_regular_files_beneath_is_opened() {
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
        let root = Root::open(&inside).unwrap();
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
        assert!(root.list(Path::new(""), 2).unwrap().1);
    }
}
