//! A group of cgroup v2 for each command: the kernel limits its memory and its processes. Where the
//! controller `cpu` is delegated too, the kernel prefers the worker when both want a processor. (systemd
//! delegates only `memory` and `pids` to a user's services.)
//!
//! This needs a delegated group (systemd: `Delegate=yes`). A command joins its group before it begins.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::limits::SandboxLimits;

/// The mount point of cgroup v2.
const HIERARCHY: &str = "/sys/fs/cgroup";
/// If one of them is not delegated, commands have no groups.
const REQUIRED: [&str; 2] = ["memory", "pids"];
const CPU: &str = "cpu";
/// The group of the worker and its supervisor: the kernel allows no processes in a group that delegates
/// controllers.
const LEAF: &str = "capi-worker";
const PREFIX: &str = "capi-sandbox-";
/// The kernel's default.
const USUAL_WEIGHT: u64 = 100;
/// An empty group of this age was left by a worker that was killed.
const LEFT_BEHIND: Duration = Duration::from_mins(1);
/// The last process may need a moment to leave a group.
const REMOVALS: usize = 3;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(5);

/// The group that contains the groups of this worker's commands.
#[derive(Debug)]
pub(super) struct Cgroups {
    parent: PathBuf,
    has_cpu: bool,
}

/// The group of one command. Drop removes it and may block for some milliseconds.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    has_cpu: bool,
}

impl Cgroups {
    /// Returns none if cgroup v2 is not delegated to this worker.
    pub(super) fn find(supervisor: Option<u32>) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let cgroups = take_over(&parent_of(&own)?, supervisor)
            .inspect_err(
                |error| tracing::info!(%error, "cgroup v2 is not delegated; commands run without groups"),
            )
            .ok()?;
        cgroups.sweep();
        Some(cgroups)
    }

    /// Whether the kernel prefers the worker to its commands.
    pub(super) const fn has_cpu(&self) -> bool {
        self.has_cpu
    }

    /// May block for some milliseconds.
    pub(super) fn create(&self, limits: &SandboxLimits) -> io::Result<Cgroup> {
        let path = self.parent.join(format!("{PREFIX}{}", Uuid::now_v7().simple()));
        fs::create_dir(&path)?;
        let cgroup = Cgroup { path, has_cpu: self.has_cpu };
        cgroup.set("memory.max", limits.memory)?;
        // A kernel without swap accounting does not have this file.
        let _ = cgroup.set("memory.swap.max", 0);
        // The kernel ends the whole command, not one process of it.
        cgroup.set("memory.oom.group", 1)?;
        cgroup.set("pids.max", limits.processes)?;
        if self.has_cpu {
            cgroup.set("cpu.weight", limits.cpu_weight)?;
        }
        Ok(cgroup)
    }

    /// Removes the groups that killed workers left. The kernel keeps a group that has processes. A new group
    /// may be empty because its command has not joined yet.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            if is_left_behind(&entry.file_name().to_string_lossy(), SystemTime::now()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// The worker's group, read from /proc/self/cgroup.
fn parent_of(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group = Path::new(HIERARCHY).join(path.trim_start_matches('/'));
    // A restarted worker starts in the leaf if its supervisor kept the group.
    if group.ends_with(LEAF) { Some(group.parent()?.to_owned()) } else { Some(group) }
}

/// Moves the worker and its supervisor into the leaf and delegates the controllers to the groups of commands.
fn take_over(parent: &Path, supervisor: Option<u32>) -> io::Result<Cgroups> {
    let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
    let is_offered = |name: &str| offered.split_whitespace().any(|one| one == name);
    if let Some(missing) = REQUIRED.into_iter().find(|name| !is_offered(name)) {
        return Err(io::Error::other(format!("{} has no controller {missing}", parent.display())));
    }
    let leaf = parent.join(LEAF);
    if !leaf.exists() {
        fs::create_dir(&leaf)?;
    }
    fs::write(leaf.join("cgroup.procs"), "0")?;
    if let Some(supervisor) = supervisor {
        // If it stays in the group, the kernel refuses the next step.
        let _ = fs::write(leaf.join("cgroup.procs"), supervisor.to_string());
    }
    let control = parent.join("cgroup.subtree_control");
    fs::write(&control, REQUIRED.map(|name| format!("+{name}")).join(" "))?;
    // Alone, because the kernel may refuse it: there are realtime processes, for example.
    let enable_cpu = || {
        let enabled = fs::write(&control, format!("+{CPU}"));
        enabled
            .inspect_err(|error| tracing::warn!(%error, "the kernel refuses the cgroup controller cpu"))
            .is_ok()
    };
    let has_cpu = is_offered(CPU) && enable_cpu();
    Ok(Cgroups { parent: parent.to_owned(), has_cpu })
}

/// The id in the name contains the time of creation.
fn is_left_behind(name: &str, now: SystemTime) -> bool {
    let id = name.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    let made = id.and_then(|id| id.get_timestamp()).map(SystemTime::from);
    made.and_then(|made| now.duration_since(made).ok()).is_some_and(|age| age > LEFT_BEHIND)
}

impl Cgroup {
    fn set(&self, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.path.join(file), value.to_string())
    }

    /// A process that writes `0` here joins the group. It needs no rights: the kernel checks those of the
    /// process that opened the file.
    pub(super) fn open_for_joining(&self) -> io::Result<OwnedFd> {
        Ok(OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))?.into())
    }

    /// Whether the kernel ended processes because the memory was used up.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    /// Gives the processes the usual share before they are killed: a killed process still needs a processor
    /// to exit.
    pub(super) fn hurry(&self) {
        if self.has_cpu
            && let Err(error) = self.set("cpu.weight", USUAL_WEIGHT)
        {
            tracing::warn!(%error, cgroup = %self.path.display(), "failed to raise the weight of a cgroup");
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for attempt in 1..=REMOVALS {
            match fs::remove_dir(&self.path) {
                Ok(()) => break,
                Err(_) if attempt < REMOVALS => std::thread::sleep(BETWEEN_REMOVALS),
                Err(error) => {
                    let cgroup = self.path.display();
                    tracing::warn!(%error, %cgroup, "failed to remove the cgroup of a command");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain files stand in for those of the kernel.
    #[test]
    fn limits_are_written_where_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let cgroups = take_over(dir.path(), None).unwrap();
        assert_eq!(read("capi-worker/cgroup.procs"), "0", "the worker is in its leaf");
        assert_eq!(read("cgroup.subtree_control"), "+cpu", "written last and alone");
        take_over(dir.path(), Some(17)).unwrap();
        assert_eq!(read("capi-worker/cgroup.procs"), "17", "the supervisor too");
        let cgroup = cgroups.create(&SandboxLimits::DEFAULT).unwrap();
        let name = cgroup.path.file_name().unwrap().to_str().unwrap().to_owned();
        for (file, value) in
            [("memory.max", "1073741824"), ("memory.swap.max", "0"), ("memory.oom.group", "1")]
        {
            assert_eq!(read(&format!("{name}/{file}")), value, "{file}");
        }
        for (file, value) in [("pids.max", "64"), ("cpu.weight", "1")] {
            assert_eq!(read(&format!("{name}/{file}")), value, "{file}");
        }
        assert!(!cgroup.ran_out_of_memory());
        fs::write(cgroup.path.join("memory.events"), "max 9\noom 1\noom_kill 2\n").unwrap();
        assert!(cgroup.ran_out_of_memory());
        cgroup.hurry();
        assert_eq!(read(&format!("{name}/cpu.weight")), "100");
        assert!(cgroup.open_for_joining().is_err(), "only the kernel makes cgroup.procs");
    }

    #[test]
    fn without_the_cpu_controller_memory_and_processes_are_still_limited() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "memory pids\n").unwrap();
        let cgroups = take_over(dir.path(), None).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap(), "+memory +pids");
        let cgroup = cgroups.create(&SandboxLimits::DEFAULT).unwrap();
        cgroup.hurry();
        assert!(cgroup.path.join("memory.max").exists());
        assert!(!cgroup.path.join("cpu.weight").exists());
    }

    #[test]
    fn memory_and_pids_are_needed() {
        let dir = tempfile::tempdir().unwrap();
        for (offered, missing) in [("cpu pids\n", "memory"), ("cpu memory\n", "pids")] {
            fs::write(dir.path().join("cgroup.controllers"), offered).unwrap();
            let error = take_over(dir.path(), None).unwrap_err().to_string();
            assert!(error.ends_with(&format!("no controller {missing}")), "{error}");
            assert!(!dir.path().join(LEAF).exists(), "nothing was changed");
        }
    }

    #[test]
    fn the_group_of_the_worker_is_found() {
        let hybrid = "9:name=systemd:/\n5:cpuacct,cpu:/workers\n0::/unified\n";
        assert_eq!(parent_of(hybrid).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(parent_of("0::/a/capi-worker\n").unwrap(), Path::new("/sys/fs/cgroup/a"));
        assert_eq!(parent_of("5:cpu:/\n"), None);
    }

    #[test]
    fn only_old_groups_of_workers_are_left_behind() {
        let (id, now) = (Uuid::now_v7().simple(), SystemTime::now());
        let later = now + LEFT_BEHIND + Duration::from_secs(1);
        assert!(!is_left_behind(&format!("{PREFIX}{id}"), now));
        assert!(is_left_behind(&format!("{PREFIX}{id}"), later));
        assert!(!is_left_behind(&format!("other-{id}"), later));
        assert!(!is_left_behind(&format!("{PREFIX}x"), later));
    }
}
