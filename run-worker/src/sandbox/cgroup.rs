//! cgroup v2, where the worker was given a part of it (systemd: `Delegate=yes`): memory and processes of each sandbox are then held by the
//! kernel, over all its processes together. The worker moves into a leaf of its own first: a cgroup that holds processes cannot
//! hand controllers down.

use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::limits::SandboxLimits;

/// Where the one hierarchy is mounted.
const MOUNTED: &str = "/sys/fs/cgroup";
/// What is needed of it.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
const LEAF: &str = "capi-worker";

/// The worker's part.
#[derive(Debug)]
pub(super) struct Cgroups(PathBuf);

/// The cgroup of one sandbox; removed when dropped.
#[derive(Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroups {
    /// The part that is this worker's, if there is one.
    pub(super) fn delegated() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let parent = Path::new(MOUNTED).join(path.trim_start_matches('/'));
        // Started again in the leaf that an earlier process made, by a supervisor that keeps it.
        let parent = if parent.ends_with(LEAF) { parent.parent()?.to_owned() } else { parent };
        Self::take(&parent).inspect_err(|error| tracing::debug!(%error, "no cgroup is delegated")).ok()
    }

    fn take(parent: &Path) -> std::io::Result<Self> {
        let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
        if let Some(missing) =
            CONTROLLERS.iter().find(|name| !offered.split_whitespace().any(|one| one == **name))
        {
            return Err(std::io::Error::other(format!("{} has no controller {missing}", parent.display())));
        }
        let leaf = parent.join(LEAF);
        if !leaf.exists() {
            fs::create_dir(&leaf)?;
        }
        fs::write(leaf.join("cgroup.procs"), "0")?;
        fs::write(
            parent.join("cgroup.subtree_control"),
            CONTROLLERS.map(|name| format!("+{name}")).join(" "),
        )?;
        Ok(Self(parent.to_owned()))
    }

    pub(super) fn create(&self, limits: &SandboxLimits) -> std::io::Result<Cgroup> {
        let path = self.0.join(format!("capi-sandbox-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&path)?;
        let cgroup = Cgroup(path);
        cgroup.set("memory.max", limits.memory)?;
        // Not every kernel counts swap.
        let _ = cgroup.set("memory.swap.max", 0);
        cgroup.set("pids.max", limits.processes)?;
        Ok(cgroup)
    }
}

impl Cgroup {
    fn set(&self, name: &str, value: u64) -> std::io::Result<()> {
        fs::write(self.0.join(name), value.to_string())
    }

    /// A descriptor through which a process without rights can move itself in: the right is that of whoever opened it.
    pub(super) fn door(&self) -> std::io::Result<OwnedFd> {
        Ok(OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))?.into())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(%error, cgroup = %self.0.display(), "a sandbox's cgroup stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's files are stood in for by files.
    #[test]
    fn limits_are_written_where_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let cgroups = Cgroups::take(dir.path()).unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        assert_eq!(read("capi-worker/cgroup.procs"), "0", "the worker is in a leaf");
        assert_eq!(read("cgroup.subtree_control"), "+memory +pids");
        let cgroup = cgroups.create(&SandboxLimits::default()).unwrap();
        let name = cgroup.0.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            (read(&format!("{name}/memory.max")), read(&format!("{name}/pids.max"))),
            ("1073741824".to_owned(), "64".to_owned())
        );
        assert!(cgroup.door().is_err(), "only the kernel makes it");

        fs::write(dir.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        assert!(Cgroups::take(dir.path()).unwrap_err().to_string().contains("no controller memory"));
    }
}
