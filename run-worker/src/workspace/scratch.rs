//! Directories of a command that must see none of the run's files. They are inside the run's directory, so
//! they never outlive it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, linkat};

use super::home::{Home, RunDirs};
use super::root_dir::RootDir;
use super::{Mounts, Workspace};

/// An empty workspace with inputs of its own. Dropping it deletes both.
pub(crate) struct Scratch {
    home: Arc<Home>,
    dirs: RunDirs,
}

impl Workspace {
    /// Makes the directories. This may block.
    pub(crate) fn scratch(&self, name: &str) -> io::Result<Scratch> {
        let run = self.0.dirs.run.file_name().unwrap_or_default();
        let dirs = self.0.home.make_run_dirs(&Path::new(run).join(name).to_string_lossy())?;
        Ok(Scratch { home: Arc::clone(&self.0.home), dirs })
    }
}

impl Scratch {
    pub(crate) fn mounts(&self) -> Mounts {
        Mounts { workspace: self.dirs.workspace.clone(), inputs: self.dirs.inputs.clone() }
    }

    /// The path for a file of the worker that no sandbox sees.
    pub(crate) fn private_path(&self, name: &str) -> PathBuf {
        self.dirs.run.join(name)
    }

    /// Puts a file into the inputs. The sandbox sees them read-only, so a second name of the same file is
    /// enough and takes no space. A file that the sandbox's user cannot read is copied, `max` bytes of it.
    pub(crate) fn give(&self, mut file: File, name: &str, max: u64) -> io::Result<()> {
        let (found, target) = (file.metadata()?, self.dirs.inputs.join(name));
        let is_own = self.home.user().is_none_or(|user| user == found.uid());
        let is_readable = found.mode() & 0o004 != 0 || (is_own && found.mode() & 0o400 != 0);
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        if is_readable && linkat(CWD, path, CWD, &target, AtFlags::SYMLINK_FOLLOW).is_ok() {
            return Ok(());
        }
        let mut copy = File::create_new(&target)?;
        io::copy(&mut file.by_ref().take(max), &mut copy)?;
        copy.set_permissions(fs::Permissions::from_mode(0o444))
    }

    /// Opens a regular file that the command left in its workspace.
    pub(crate) fn open(&self, name: &str) -> io::Result<File> {
        RootDir::open(&self.dirs.workspace)?.read(Path::new(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.home.remove(&self.dirs.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Quota;
    use shared::ids::RunId;

    #[tokio::test]
    async fn a_scratch_holds_the_given_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Arc::new(Home::make(dir.path(), 65_533).unwrap());
        let quota = Quota { bytes: 1 << 20, entries: 10, depth: 3 };
        let workspace = Workspace::make(&home, RunId::generate(), 1, quota).unwrap();
        let path = workspace.private_path("given");
        fs::write(&path, "content").unwrap();
        for mode in [0o644, 0o000] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let file = File::open(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let scratch = workspace.scratch("document").unwrap();
            scratch.give(file, "document", 4).unwrap();
            let given = scratch.mounts().inputs.join("document");
            // Only a copy is cut.
            assert_eq!(fs::metadata(&given).unwrap().len(), if mode == 0 { 4 } else { 7 });
            fs::write(scratch.mounts().workspace.join("answer"), "x").unwrap();
            assert_eq!(io::read_to_string(scratch.open("answer").unwrap()).unwrap(), "x");
            drop(scratch);
            assert!(!given.exists() && path.exists());
        }
        workspace.close().await;
    }
}
