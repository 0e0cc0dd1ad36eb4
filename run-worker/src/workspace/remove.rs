//! Removes a directory that a hostile program filled: nested as deep as the disk allows, without rights, with
//! links that lead outside. Inner directories are moved up and emptied one by one, so neither depth nor links
//! matter.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};

use super::root_dir::{Entries, open_dir_at};

/// Removes a directory; harmless if it is gone.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("cannot remove the root directory"))?;
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no name"))?;
    let parent = openat(CWD, parent, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let top = match open_dir_at(&parent, name, Mode::RWXU) {
        Ok(top) => top,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    loop {
        let mut inside = Vec::new();
        for entry in Entries::of(&top)? {
            inside.push(entry?.file_name().to_owned());
        }
        if inside.is_empty() {
            break;
        }
        for name in inside {
            match unlinkat(&top, &name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => continue,
                Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            let dir = open_dir_at(&top, &name, Mode::RWXU)?;
            for entry in Entries::of(&dir)? {
                let entry = entry?;
                let file_name = entry.file_name();
                if entry.file_type() == FileType::Directory
                    || unlinkat(&dir, file_name, AtFlags::empty()).is_err()
                {
                    // Moving a directory changes its `..`, so it must be writable.
                    let _ = open_dir_at(&dir, file_name, Mode::RWXU)?;
                    // A name that no entry of `top` has.
                    let new_name = uuid::Uuid::new_v4().to_string();
                    renameat_with(&dir, file_name, &top, &new_name, RenameFlags::NOREPLACE)?;
                }
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn neither_depth_nor_links_nor_missing_rights_stop_a_removal() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, tree) = (dir.path().join("outside"), dir.path().join("tree"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        fs::create_dir(&tree).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink(outside.join("kept"), tree.join("file")).unwrap();
        let locked = tree.join("locked");
        fs::create_dir_all(locked.join("inner/most")).unwrap();
        fs::write(locked.join("inner/file"), "x").unwrap();
        for path in [locked.join("inner/most"), locked.join("inner"), locked] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
        }
        let mut at = rustix::fs::open(&tree, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&at, "1.removed", Mode::RWXU).unwrap();
            at = open_dir_at(&at, "1.removed", Mode::RWXU).unwrap();
        }
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
    }
}
