//! Which groups this worker can make, found once at its start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::processor::Version;
use super::{Cgroups, Holds, SandboxLimits};

/// Where the one hierarchy of version two is mounted, and the controller cpu of version one.
const TWO: &str = "/sys/fs/cgroup";
const ONE: &str = "/sys/fs/cgroup/cpu";
/// What is needed of version two; `cpu` is taken where it is offered.
const NEEDED: [&str; 2] = ["memory", "pids"];
const LEAF: &str = "capi-worker";

impl Cgroups {
    /// The best there is; none where nothing is this worker's.
    pub(in crate::sandbox) fn find(limits: &SandboxLimits) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let two = delegated(&own).and_then(|parent| {
            take(&parent).inspect_err(|error| tracing::debug!(%error, "no cgroup v2")).ok()
        });
        let found = match two {
            Some(two) if two.holds.processors() => two.tried(limits),
            Some(two) => two,
            None => {
                let parent = of_processors(&own)?;
                let holds = Holds { memory: false, processors: Some(Version::One) };
                Self { parent, holds }.tried(limits)
            }
        };
        found.sweep();
        (found.holds.memory || found.holds.processors()).then_some(found)
    }

    /// Without the processors where a group that holds them cannot be made.
    fn tried(mut self, limits: &SandboxLimits) -> Self {
        if let Err(error) = self.try_out(limits) {
            tracing::info!(%error, "commands have no cgroup for their share of the processors");
            self.holds.processors = None;
        }
        self
    }

    /// Whether a process of ours can go in.
    fn try_out(&self, limits: &SandboxLimits) -> std::io::Result<()> {
        let cgroup = self.create(limits)?;
        let mut child = Command::new("/bin/sleep").arg("10").env_clear().spawn()?;
        let joined = fs::write(cgroup.list(), child.id().to_string());
        cgroup.let_go();
        child.kill()?;
        child.wait()?;
        joined
    }
}

/// The worker's own group of version two.
fn delegated(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let parent = Path::new(TWO).join(path.trim_start_matches('/'));
    // Started again in the leaf that an earlier process made, by a supervisor that keeps it.
    if parent.ends_with(LEAF) { Some(parent.parent()?.to_owned()) } else { Some(parent) }
}

/// Moves the worker into a leaf of its own and hands the controllers down: a group that holds processes cannot.
fn take(parent: &Path) -> std::io::Result<Cgroups> {
    let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
    let is_offered = |name: &str| offered.split_whitespace().any(|one| one == name);
    if let Some(missing) = NEEDED.iter().find(|name| !is_offered(name)) {
        return Err(std::io::Error::other(format!("{} has no controller {missing}", parent.display())));
    }
    let leaf = parent.join(LEAF);
    if !leaf.exists() {
        fs::create_dir(&leaf)?;
    }
    fs::write(leaf.join("cgroup.procs"), "0")?;
    let hand_down = |names: &str| fs::write(parent.join("cgroup.subtree_control"), names);
    hand_down(&NEEDED.map(|name| format!("+{name}")).join(" "))?;
    // On its own: it may be refused though it is offered, where there are realtime processes.
    let processors = is_offered("cpu") && hand_down("+cpu").is_ok();
    let holds = Holds { memory: true, processors: processors.then_some(Version::Two) };
    Ok(Cgroups { parent: parent.to_owned(), holds })
}

/// The worker's own group of version one's controller cpu.
fn of_processors(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers.split(',').any(|name| name == "cpu").then(|| parts.next())?
    })?;
    Some(Path::new(ONE).join(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's files are stood in for by files.
    #[test]
    fn limits_are_written_where_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        for (offered, taken) in [("memory pids\n", "+memory +pids"), ("cpu memory pids\n", "+cpu")] {
            fs::write(dir.path().join("cgroup.controllers"), offered).unwrap();
            let cgroups = take(dir.path()).unwrap();
            assert_eq!(read("capi-worker/cgroup.procs"), "0", "the worker is in a leaf");
            assert_eq!(read("cgroup.subtree_control"), taken);
            let cgroup = cgroups.create(&SandboxLimits::default()).unwrap();
            let name = cgroup.path.file_name().unwrap().to_str().unwrap().to_owned();
            let of = |file: &str| fs::read_to_string(cgroup.path.join(file)).ok();
            assert_eq!(read(&format!("{name}/memory.max")), "1073741824");
            assert_eq!(read(&format!("{name}/pids.max")), "64");
            let processor = cgroups.holds.processors();
            assert_eq!(of("cpu.idle").is_some(), processor);
            assert_eq!(of("cpu.max"), processor.then(|| "100000 100000".to_owned()));
            cgroup.let_go();
            assert_eq!(of("cpu.max"), processor.then(|| "max 100000".to_owned()));
            assert!(cgroup.door().is_err(), "only the kernel makes it");
        }
        fs::write(dir.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        assert!(take(dir.path()).unwrap_err().to_string().contains("no controller memory"));
    }

    #[test]
    fn a_workers_own_groups_are_found() {
        let one = "9:name=systemd:/\n5:cpuacct,cpu:/workers\n4:cpuset:/x\n0::/unified\n";
        assert_eq!(of_processors(one).unwrap(), Path::new("/sys/fs/cgroup/cpu/workers"));
        assert_eq!(of_processors("4:cpuset:/x\n0::/\n"), None);
        assert_eq!(delegated(one).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(delegated("0::/a/capi-worker\n").unwrap(), Path::new("/sys/fs/cgroup/a"));
    }
}
