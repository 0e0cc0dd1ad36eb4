//! The worker's own directory, with a subdirectory for each run that it executes. Its name is the worker's,
//! and its lock is free when the worker is dead. A killed worker leaves its directory behind; another worker
//! on the machine finds it (`leases/neighbours.rs`) and removes it.
//!
//! The directory must be on a local disk: locks of a network file system may be free although the worker
//! lives.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::remove::remove_tree;

/// Before the worker's name.
const PREFIX: &str = "capi-";
const WORKER: &str = "worker-";
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

/// The directory of a dead worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    pub dir: PathBuf,
    /// Its name, if this process sees the processes that the worker saw. Workers of the former version say
    /// nothing about that.
    pub worker: Option<String>,
}

impl Home {
    /// The directory in `parent` of the worker with this name.
    #[must_use]
    pub fn path_of(parent: &Path, worker: &str) -> PathBuf {
        parent.join(format!("{PREFIX}{worker}"))
    }

    /// Makes the directory of a worker with a new name.
    pub fn make(parent: &Path, user: u32) -> io::Result<Self> {
        Self::make_for(&crate::supervisor::new_worker_name(), parent, user)
    }

    /// Makes the worker's directory in `parent`. A worker that runs as root starts sandboxes as `user`, who
    /// owns the workspaces.
    pub fn make_for(worker: &str, parent: &Path, user: u32) -> io::Result<Self> {
        let dir = Self::path_of(parent, worker);
        // The sandbox's user must be able to enter it.
        make_dir(&dir, 0o711)?;
        let making = dir.join("lock.new");
        let mut lock = File::create_new(&making)?;
        lock.write_all(own_processes()?.as_bytes())?;
        flock(&lock, FlockOperation::LockExclusive)?;
        fs::rename(&making, dir.join(LOCK))?;
        Ok(Self { dir, user: rustix::process::geteuid().is_root().then_some(user), _lock: lock })
    }

    /// Finds the directories of dead workers of the same user.
    #[must_use]
    pub fn abandoned(&self) -> Vec<Abandoned> {
        let siblings = self.dir.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
        let named = siblings.filter_map(|sibling| {
            let name = sibling.file_name().into_string().ok()?;
            let worker = name.strip_prefix(PREFIX).filter(|worker| worker.starts_with(WORKER))?.to_owned();
            Some((sibling.path(), worker))
        });
        let others = named.filter(|(dir, _)| *dir != self.dir);
        let dead = others.filter(|(dir, _)| is_abandoned(dir).unwrap_or(false));
        dead.map(|(dir, worker)| {
            let seen = fs::read_to_string(dir.join(LOCK)).ok();
            let is_seen = seen.is_some_and(|seen| own_processes().is_ok_and(|own| own == seen));
            Abandoned { dir, worker: is_seen.then_some(worker) }
        })
        .collect()
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

/// Names the processes that this one sees: its pid namespace. A container has its own.
fn own_processes() -> io::Result<String> {
    Ok(fs::read_link("/proc/self/ns/pid")?.to_string_lossy().into_owned())
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
    fn only_the_directories_of_dead_workers_are_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let [living, next] = [(); 2].map(|()| Home::make(parent.path(), 65_533).unwrap());
        let dead = |name: &str, lock: &str| {
            let dir = Home::path_of(parent.path(), name);
            fs::create_dir_all(dir.join("run/workspace")).unwrap();
            fs::write(dir.join(LOCK), lock).unwrap();
            dir
        };
        let seen = dead("worker-seen", &own_processes().unwrap());
        let elsewhere = dead("worker-elsewhere", "pid:[1]");
        let former = dead("worker-former", "");
        // Another worker makes its directory now.
        fs::create_dir(Home::path_of(parent.path(), "worker-young")).unwrap();
        fs::create_dir(parent.path().join("capi-other")).unwrap();
        let mut found = next.abandoned();
        found.sort_by(|one, other| one.dir.cmp(&other.dir));
        let expected = [(elsewhere, None), (former, None), (seen, Some("worker-seen".to_owned()))];
        assert_eq!(found, expected.map(|(dir, worker)| Abandoned { dir, worker }));
        let dir = living.dir.clone();
        drop(living);
        assert!(!dir.exists());
    }
}
