//! A group of processes for each sandbox, by which the kernel holds all of them together: their memory and their number (cgroup v2, where
//! the worker was given a part of it, as systemd does with `Delegate=yes`), and their share of the processors (there too, and with cgroup v1
//! where the worker is root).

mod found;
mod members;
mod processor;

use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::limits::SandboxLimits;
use processor::{File, Version, idle};

const PREFIX: &str = "capi-sandbox-";
/// A group without processes that is older than this is one that a killed worker left.
const FORGOTTEN: Duration = Duration::from_mins(1);
/// How often a group's removal is tried.
const REMOVALS: usize = 3;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(5);

/// What a group can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holds {
    /// Memory and the number of processes; then a command is in its group from the beginning.
    pub(super) memory: bool,
    /// The share of the processors.
    processors: Option<Version>,
}

impl Holds {
    /// See the field.
    pub(super) const fn processors(self) -> bool {
        self.processors.is_some()
    }
}

/// Where a worker's sandboxes have their groups.
#[derive(Debug)]
pub(super) struct Cgroups {
    parent: PathBuf,
    pub(super) holds: Holds,
}

/// The group of one sandbox; removed when dropped, for which the kernel may make others wait who make or join one.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    pub(super) holds: Holds,
}

impl Cgroups {
    pub(super) fn create(&self, limits: &SandboxLimits) -> std::io::Result<Cgroup> {
        let path = self.parent.join(format!("{PREFIX}{}", Uuid::now_v7().simple()));
        fs::create_dir(&path)?;
        let cgroup = Cgroup { path, holds: self.holds };
        if self.holds.memory {
            cgroup.set(&("memory.max", limits.memory.to_string()))?;
            // Not every kernel counts swap.
            let _ = cgroup.set(&("memory.swap.max", "0".to_owned()));
            cgroup.set(&("pids.max", limits.processes.to_string()))?;
        }
        if let Some(version) = self.holds.processors {
            cgroup.set(&idle(true))?;
            // Not allowed where the parent has less itself, which then holds.
            let _ = cgroup.set(&version.most(Some(limits.processors)));
        }
        Ok(cgroup)
    }

    /// Removes what workers left that were killed. Only empty groups can be removed, and a young one may be about to be entered.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            if is_forgotten(&entry.file_name().to_string_lossy(), SystemTime::now()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// By the time in its name.
fn is_forgotten(name: &str, now: SystemTime) -> bool {
    let id = name.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    let made = id.and_then(|id| id.get_timestamp()).map(SystemTime::from);
    made.and_then(|made| now.duration_since(made).ok()).is_some_and(|age| age > FORGOTTEN)
}

impl Cgroup {
    fn set(&self, (name, value): &File) -> std::io::Result<()> {
        fs::write(self.path.join(name), value)
    }

    /// A descriptor through which a process without rights can move itself in: the right is that of whoever opened it.
    pub(super) fn door(&self) -> std::io::Result<OwnedFd> {
        Ok(OpenOptions::new().write(true).open(self.list())?.into())
    }

    /// From now on its processes get a small share of the processors even where everybody wants them.
    pub(super) fn stop_idling(&self) {
        self.change(Version::light);
    }

    /// Its processes are about to be killed, for which each needs a processor once more.
    pub(super) fn let_go(&self) {
        self.change(Version::unbound);
    }

    /// Writes each of the files, also where one fails.
    fn change(&self, files: fn(Version) -> [File; 2]) {
        for file in self.holds.processors.map(files).iter().flatten() {
            if let Err(error) = self.set(file) {
                tracing::warn!(%error, cgroup = %self.path.display(), "a sandbox's share of the processors stays as it is");
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for tried in 1..=REMOVALS {
            match fs::remove_dir(&self.path) {
                Ok(()) => break,
                // Who was the last may be on his way out for a moment.
                Err(_) if tried < REMOVALS => std::thread::sleep(BETWEEN_REMOVALS),
                Err(error) => {
                    tracing::warn!(%error, cgroup = %self.path.display(), "a sandbox's cgroup stays");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_groups_of_ours_are_forgotten() {
        let (id, now) = (Uuid::now_v7().simple(), SystemTime::now());
        let later = now + FORGOTTEN + Duration::from_secs(1);
        assert!(!is_forgotten(&format!("{PREFIX}{id}"), now));
        assert!(is_forgotten(&format!("{PREFIX}{id}"), later));
        assert!(!is_forgotten(&format!("other-{id}"), later));
        assert!(!is_forgotten(&format!("{PREFIX}x"), later));
    }
}
