//! Unpacks the snapshots of versions before manifests: the whole workspace as tar in zstd. A run that such a
//! version began continues from them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};

use tar::{Archive, EntryType};
use zstd::Decoder;

use super::measure::Quota;
use super::root_dir::RootDir;

/// The memory that unpacking may use, as a power of two.
const WINDOW_LOG: u32 = 24;

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
    use tar::{Builder, Header};
    use zstd::Encoder;

    const QUOTA: Quota = Quota { bytes: 1 << 20, entries: 100, depth: 10 };

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
