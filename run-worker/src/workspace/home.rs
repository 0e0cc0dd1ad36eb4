//! The worker's own directory, with one for each run that it executes. Nothing in it outlives the process for long: the next worker
//! on the machine removes what a killed one left.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::remove::remove_tree;

const PREFIX: &str = "capi-worker-";
const LOCK: &str = "lock";
/// A directory without a lock may be one that is being made.
const BEING_MADE: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    user: Option<u32>,
    /// Held as long as the process lives.
    _lock: File,
}

/// The directories of one run.
#[derive(Debug, Clone)]
pub struct RunDirs {
    /// Holds the others, and what is only the worker's.
    pub run: PathBuf,
    /// The sandbox's user writes there.
    pub workspace: PathBuf,
    /// The caller's files.
    pub inputs: PathBuf,
}

impl Home {
    /// Makes it in `parent`. A worker that runs as root gives workspaces to `user`, whom it becomes for the sandbox.
    pub fn make(parent: &Path, user: u32) -> io::Result<Self> {
        let dir = parent.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        // The sandbox's user must be able to pass.
        make_dir(&dir, 0o711)?;
        let making = dir.join("lock.new");
        let lock = File::create_new(&making)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        fs::rename(&making, dir.join(LOCK))?;
        Ok(Self { dir, user: rustix::process::geteuid().is_root().then_some(user), _lock: lock })
    }

    /// Removes what workers of this user left that are dead.
    pub fn sweep(&self) {
        let siblings = self.dir.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
        for sibling in siblings.filter(|sibling| sibling.file_name().to_string_lossy().starts_with(PREFIX)) {
            let path = sibling.path();
            if path != self.dir && is_abandoned(&path).unwrap_or(false) {
                tracing::info!(path = %path.display(), "a dead worker's directory is removed");
                self.remove(&path);
            }
        }
    }

    /// Whom the sandbox's processes belong to, where that is not the worker's own user.
    #[must_use]
    pub const fn user(&self) -> Option<u32> {
        self.user
    }

    /// The directories of a run, empty.
    pub fn make_run_dirs(&self, name: &str) -> io::Result<RunDirs> {
        let run = self.dir.join(name);
        let dirs = RunDirs { workspace: run.join("workspace"), inputs: run.join("inputs"), run };
        make_dir(&dirs.run, 0o711)?;
        make_dir(&dirs.inputs, 0o755)?;
        make_dir(&dirs.workspace, 0o700)?;
        // What the caller's files are mounted on.
        let mountpoint = dirs.workspace.join("inputs");
        make_dir(&mountpoint, 0o755)?;
        for path in [&mountpoint, &dirs.workspace] {
            self.give(path)?;
        }
        Ok(dirs)
    }

    /// Gives a file or directory to the sandbox's user.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        match self.user {
            Some(user) => chown(path, Some(user), Some(user)),
            None => Ok(()),
        }
    }

    /// A copy of a program, where the sandbox's user can read it.
    pub fn lend_program(&self, program: &Path) -> io::Result<PathBuf> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.display()));
        let copy = self.dir.join(program.file_name().unwrap_or_default());
        fs::copy(program, &copy).map_err(named)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// An /etc with nothing of the machine's but what programs ask for.
    pub fn make_etc(&self) -> io::Result<PathBuf> {
        let etc = self.dir.join("etc");
        make_dir(&etc, 0o755)?;
        make_dir(&etc.join("alternatives"), 0o755)?;
        for (name, text) in [
            ("passwd", "agent:x:1000:1000::/tmp:/bin/bash\n"),
            ("group", "agent:x:1000:\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
            ("hosts", "127.0.0.1 localhost sandbox\n"),
        ] {
            let path = etc.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        Ok(etc)
    }

    /// Removes it; harmless where it is gone.
    pub fn clear(&self) {
        self.remove(&self.dir);
    }

    /// Removes a directory with all that is in it.
    pub fn remove(&self, path: &Path) {
        if let Err(error) = remove_tree(path) {
            metrics::counter!("capi_workspaces_left_total").increment(1);
            tracing::error!(%error, path = %path.display(), "a directory cannot be removed");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whatever the umask says.
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
    fn what_a_dead_worker_left_is_removed_and_what_a_living_one_has_stays() {
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
