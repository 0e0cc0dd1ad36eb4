//! Removing a directory whose content a program made that may have tried to make it hard: nested as deep as the disk allows, without
//! rights, with links that lead elsewhere. Directories inside are moved up and emptied one by one, so that neither depth nor links matter.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};

use super::beneath::open_dir_at;

/// Removes it. Nothing outside is touched.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("the root is not removed"))?;
    let name = path.file_name().ok_or_else(|| io::Error::other("no name"))?;
    let parent = openat(CWD, parent, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let top = match open_dir_at(&parent, name, Mode::RWXU) {
        Ok(top) => top,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    loop {
        let mut inside = Vec::new();
        for entry in Dir::read_from(&top)? {
            let entry = entry?;
            if is_dots(entry.file_name().to_bytes()) {
                continue;
            }
            inside.push(entry.file_name().to_owned());
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
            for entry in Dir::read_from(&dir)? {
                let entry = entry?;
                let file_name = entry.file_name();
                if is_dots(file_name.to_bytes()) {
                    continue;
                }
                if entry.file_type() == FileType::Directory
                    || unlinkat(&dir, file_name, AtFlags::empty()).is_err()
                {
                    // Moving a directory changes it, so it must be writable.
                    let _ = open_dir_at(&dir, file_name, Mode::RWXU)?;
                    // A name that nothing inside can have.
                    let new_name = uuid::Uuid::new_v4().to_string();
                    renameat_with(&dir, file_name, &top, &new_name, RenameFlags::NOREPLACE)?;
                }
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
}

pub(super) fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn depth_links_and_missing_rights_keep_nothing_and_nothing_outside_goes() {
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
