//! The worker's own directory, with a subdirectory for each run that it executes. A killed worker leaves its
//! directory behind; the next worker on the machine removes it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::remove::remove_tree;

const PREFIX: &str = "capi-worker-";
const LOCK: &str = "lock";
/// git commits with this identity. The caller's files belong to another user, and git may read them.
const GITCONFIG: &str = "[user]\n\tname = Agent\n\temail = agent@sandbox.invalid\n\
    [init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n[core]\n\tpager = cat\n";
/// Another worker may still be making a directory without a lock that is younger than this.
const BEING_MADE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    user: Option<u32>,
    /// Locked as long as the process lives.
    _lock: File,
}

/// The directories of one run.
#[derive(Debug, Clone)]
pub struct RunDirs {
    /// Contains the others, and files of the worker that no sandbox sees.
    pub run: PathBuf,
    /// The sandbox's user can write here.
    pub workspace: PathBuf,
    /// The caller's files.
    pub inputs: PathBuf,
}

impl Home {
    /// Makes the directory in `parent`. A worker that runs as root starts sandboxes as `user`, who owns the
    /// workspaces.
    pub fn make(parent: &Path, user: u32) -> io::Result<Self> {
        let dir = parent.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        // The sandbox's user must be able to enter it.
        make_dir(&dir, 0o711)?;
        let making = dir.join("lock.new");
        let lock = File::create_new(&making)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        fs::rename(&making, dir.join(LOCK))?;
        Ok(Self { dir, user: rustix::process::geteuid().is_root().then_some(user), _lock: lock })
    }

    /// Removes the directories of dead workers of the same user.
    pub fn sweep(&self) {
        let siblings = self.dir.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
        for sibling in siblings.filter(|sibling| sibling.file_name().to_string_lossy().starts_with(PREFIX)) {
            let path = sibling.path();
            if path != self.dir && is_abandoned(&path).unwrap_or(false) {
                tracing::info!(path = %path.display(), "removing the directory of a dead worker");
                self.remove(&path);
            }
        }
    }

    /// The user of the sandbox's processes, if that is not the worker's own user.
    #[must_use]
    pub const fn user(&self) -> Option<u32> {
        self.user
    }

    /// Makes empty directories for a run.
    pub fn make_run_dirs(&self, name: &str) -> io::Result<RunDirs> {
        let run = self.dir.join(name);
        let dirs = RunDirs { workspace: run.join("workspace"), inputs: run.join("inputs"), run };
        make_dir(&dirs.run, 0o711)?;
        make_dir(&dirs.inputs, 0o755)?;
        make_dir(&dirs.workspace, 0o700)?;
        // The mount point of the caller's files.
        let mountpoint = dirs.workspace.join("inputs");
        make_dir(&mountpoint, 0o755)?;
        for path in [&mountpoint, &dirs.workspace] {
            self.give(path)?;
        }
        Ok(dirs)
    }

    /// Makes the sandbox's user the owner.
    fn give(&self, path: &Path) -> io::Result<()> {
        match self.user {
            Some(user) => chown(path, Some(user), Some(user)),
            None => Ok(()),
        }
    }

    /// Copies a program so that the sandbox's user can read it.
    pub fn copy_program(&self, program: &Path) -> io::Result<PathBuf> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.display()));
        let copy = self.dir.join(program.file_name().unwrap_or_default());
        fs::copy(program, &copy).map_err(named)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// Makes an /etc with only the files that programs need, and these empty directories.
    pub fn make_etc(&self, directories: &[&OsStr]) -> io::Result<PathBuf> {
        let etc = self.dir.join("etc");
        make_dir(&etc, 0o755)?;
        for directory in directories {
            make_dir(&etc.join(directory), 0o755)?;
        }
        for (name, text) in [
            ("passwd", "agent:x:1000:1000::/tmp:/bin/bash\n"),
            ("group", "agent:x:1000:\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
            ("hosts", "127.0.0.1 localhost sandbox\n::1 ip6-localhost ip6-loopback\n"),
            ("gitconfig", GITCONFIG),
        ] {
            let path = etc.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        Ok(etc)
    }

    /// Removes the whole directory; harmless if it is gone.
    pub fn clear(&self) {
        self.remove(&self.dir);
    }

    /// Removes a directory with its content.
    pub fn remove(&self, path: &Path) {
        if let Err(error) = remove_tree(path) {
            metrics::counter!("capi_workspace_removal_failures_total").increment(1);
            tracing::error!(%error, path = %path.display(), "failed to remove a directory");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The mode does not depend on the umask.
fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn is_abandoned(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    match File::open(path.join(LOCK)) {
        Ok(lock) => Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()),
        Err(_) => Ok(found.modified()?.elapsed().is_ok_and(|age| age > BEING_MADE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_dead_workers_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let [living, next] = [(); 2].map(|()| Home::make(parent.path(), 65_533).unwrap());
        living.make_run_dirs("run").unwrap();
        let dead = parent.path().join("capi-worker-dead");
        fs::create_dir_all(dead.join("run/workspace")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let young = parent.path().join("capi-worker-young");
        fs::create_dir(&young).unwrap();
        next.sweep();
        assert!(!dead.exists() && young.exists() && living.dir.join("run/workspace").exists());
        let dir = living.dir.clone();
        drop(living);
        assert!(!dir.exists());
    }
}
