//! Moves a file that the worker made beside the workspace into it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::root_dir::RootDir;

impl RootDir {
    /// Gives the file to `owner` and moves it to `path`. Makes missing directories on the path. It is an
    /// error of the kind `AlreadyExists` if there is something at `path`.
    pub(crate) fn adopt(&self, file: &Path, path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        let dir = self.make_dirs(path.parent().unwrap_or(Path::new("")), owner)?;
        let opened = File::open(file)?;
        opened.set_permissions(Permissions::from_mode(mode))?;
        if let Some(owner) = owner {
            fchown(&opened, Some(owner), Some(owner))?;
        }
        Ok(renameat_with(CWD, file, &dir, name, RenameFlags::NOREPLACE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_moves_inside_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, file) = (dir.path().join("inside"), dir.path().join("file"));
        fs::create_dir(&inside).unwrap();
        let root = RootDir::open(&inside).unwrap();
        fs::write(&file, "first").unwrap();
        root.adopt(&file, Path::new("new/dir/a"), 0o644, None).unwrap();
        assert_eq!(fs::read_to_string(inside.join("new/dir/a")).unwrap(), "first");
        fs::write(&file, "second").unwrap();
        symlink("/nowhere", inside.join("link")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        for taken in ["new/dir/a", "new", "link"] {
            let refused = root.adopt(&file, Path::new(taken), 0o644, None).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{taken}");
        }
        assert!(root.adopt(&file, Path::new("up/b"), 0o644, None).is_err());
        assert!(file.exists() && !dir.path().join("b").exists());
    }
}
