//! Packs a workspace into one file, tar in zstd: regular files and directories with their names, content,
//! times and execute bits. Links, FIFOs and devices are left out. No command runs in the workspace meanwhile.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use tar::{Archive, Builder, EntryType, Header};
use zstd::{Decoder, Encoder};

use super::measure::Quota;
use super::path::INPUTS;
use super::root_dir::{Entries, RootDir, TO_READ, open_dir_at, restore_rights};

const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// The memory that unpacking may use, as a power of two. Packing at this level needs less.
const WINDOW_LOG: u32 = 24;

/// Writes the content of `workspace` to `target`, a new file.
pub(super) fn pack(workspace: &Path, target: &Path) -> io::Result<()> {
    let mut builder = Builder::new(Encoder::new(BufWriter::new(File::create(target)?), LEVEL)?);
    // Depth first: no more directories are open than there are levels.
    let top = RootDir::open(workspace)?.dir(Path::new(""))?;
    let entries = Entries::of(&top)?;
    let mut open = vec![(top, entries, PathBuf::new())];
    while let Some((dir, entries, path)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        let path = path.join(os_str(name));
        if path == Path::new(INPUTS) {
            continue;
        }
        let stat = statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut header = Header::new_gnu();
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                builder.append_data(&mut header, &path, io::empty())?;
                let inner = open_dir_at(&*dir, name, TO_READ)?;
                let entries = Entries::of(&inner)?;
                open.push((inner, entries, path));
            }
            FileType::RegularFile => {
                let size = stat.st_size.unsigned_abs();
                header.set_mode(if stat.st_mode & 0o100 == 0 { 0o644 } else { 0o755 });
                header.set_size(size);
                builder.append_data(&mut header, &path, open_file(dir, name)?.take(size))?;
            }
            _ => {}
        }
    }
    builder.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.flush()
}

fn os_str(name: &std::ffi::CStr) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}

/// If the owner removed its own right to read the file, that right is restored.
fn open_file(dir: &OwnedFd, name: &std::ffi::CStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(dir, name, flags, Mode::empty()) {
        return Ok(file.into());
    }
    let pinned = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    restore_rights(&pinned, Mode::RUSR)?;
    Ok(openat(dir, name, flags, Mode::empty())?.into())
}

/// Fills an empty workspace from a snapshot. The files belong to `owner`.
pub(super) fn unpack(source: &Path, workspace: &Path, quota: &Quota, owner: Option<u32>) -> io::Result<()> {
    let mut decoder = Decoder::new(BufReader::new(File::open(source)?))?;
    decoder.window_log_max(WINDOW_LOG)?;
    let root = RootDir::open(workspace)?;
    let (mut bytes, mut entries) = (0_u64, 0_u64);
    let too_much = || io::Error::other("the snapshot holds more than the workspace may");
    // Headers and padding come on top of the content.
    let max = quota.bytes.saturating_add(quota.entries * 4096);
    for entry in Archive::new(decoder.take(max)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other("the snapshot names a path outside the workspace"));
        }
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if bytes > quota.bytes || entries > quota.entries {
            return Err(too_much());
        }
        let (mode, modified) = (entry.header().mode()?, entry.header().mtime()?);
        match entry.header().entry_type() {
            EntryType::Directory => drop(root.make_dirs(&path, owner)?),
            EntryType::Regular => {
                let size = entry.size();
                if root.write(&path, &mut entry, mode & 0o755, owner)? != size {
                    return Err(too_much());
                }
                let time = UNIX_EPOCH + Duration::from_secs(modified);
                root.read(&path)?.set_modified(time)?;
            }
            _ => {
                return Err(io::Error::other(
                    "the snapshot holds an entry that is neither a file nor a directory",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const QUOTA: Quota = Quota { bytes: 1 << 20, entries: 100, depth: 10 };

    #[test]
    fn only_files_and_directories_are_restored() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to, file] = ["from", "to", "snapshot"].map(|name| dir.path().join(name));
        let long = "x".repeat(200);
        fs::create_dir_all(from.join("a/empty")).unwrap();
        fs::create_dir_all(from.join("inputs")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("a/run.sh"), "#!/bin/sh").unwrap();
        fs::set_permissions(from.join("a/run.sh"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::write(from.join(&long), vec![0; 100_000]).unwrap();
        fs::write(from.join("unreadable"), "x").unwrap();
        fs::set_permissions(from.join("unreadable"), fs::Permissions::from_mode(0o0)).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        pack(&from, &file).unwrap();
        assert!(fs::metadata(&file).unwrap().len() < 2000, "compressed");
        unpack(&file, &to, &QUOTA, None).unwrap();
        let (listed, _) = RootDir::open(&to).unwrap().list(Path::new(""), 100).unwrap();
        let paths: Vec<_> = listed.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["a/", "a/empty/", "a/run.sh", "unreadable", &long]);
        let of = |root: &Path| fs::metadata(root.join("a/run.sh")).unwrap();
        assert_eq!(of(&to).permissions().mode() & 0o7777, 0o755, "no setuid");
        let seconds =
            |root: &Path| of(root).modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds(&from), seconds(&to));
    }

    #[test]
    fn a_snapshot_that_holds_too_much_or_leads_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snapshot");
        let unpacked = |entries: &[(&[u8], EntryType, usize)]| {
            let mut builder = Builder::new(Encoder::new(File::create(&file).unwrap(), 1).unwrap());
            for (path, kind, size) in entries {
                let mut header = Header::new_gnu();
                header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
                header.set_entry_type(*kind);
                header.set_size(*size as u64);
                header.set_mode(0o644);
                header.set_cksum();
                builder.append(&header, io::repeat(0).take(*size as u64)).unwrap();
            }
            builder.into_inner().unwrap().finish().unwrap();
            let to = dir.path().join("to");
            let _ = fs::remove_dir_all(&to);
            fs::create_dir(&to).unwrap();
            unpack(&file, &to, &QUOTA, None).map_err(|error| error.to_string())
        };
        assert!(unpacked(&[(b"file", EntryType::Regular, 10)]).is_ok());
        for path in [&b"../x"[..], b"/tmp/x", b"a/../../x"] {
            assert!(unpacked(&[(path, EntryType::Regular, 1)]).unwrap_err().contains("outside"));
        }
        assert!(unpacked(&[(b"x", EntryType::Symlink, 0)]).unwrap_err().contains("neither"));
        assert!(unpacked(&[(b"bomb", EntryType::Regular, 2 << 20)]).unwrap_err().contains("more than"));
    }
}
