//! The memory that can still be given to commands: of the machine, and of each group of processes around the
//! worker. In a container the group has less than the machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the hierarchies of cgroups are mounted.
const MOUNTS: &str = "/sys/fs/cgroup";

/// Bytes, or none if the kernel does not say it.
pub(super) fn available_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    [of_the_machine(), of_the_groups(Path::new(MOUNTS), &groups)].into_iter().flatten().min()
}

fn of_the_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// `own` is /proc/self/cgroup. Cgroup v2 is mounted alone, or beside the controllers of v1.
fn of_the_groups(mounts: &Path, own: &str) -> Option<u64> {
    let rooms = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let kind = if controllers.is_empty() {
            &V2
        } else if controllers.split(',').any(|one| one == "memory") {
            &V1
        } else {
            return None;
        };
        let mount = mounts.join(kind.mount);
        // A container may show a path that exists only outside. Its own group is then the top.
        let group = mount.join(path);
        let around = group.ancestors().take_while(|group| group.starts_with(&mount));
        around.filter_map(|group| kind.room(group)).min()
    });
    rooms.min()
}

/// The files of a version of cgroups.
struct Files {
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Of memory.stat: pages of files that the kernel drops first.
    cache: &'static str,
}

const V1: Files = Files {
    mount: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file ",
};
const V2: Files = Files { mount: "", limit: "memory.max", used: "memory.current", cache: "inactive_file " };

impl Files {
    /// What a group may still use, or none if it has no limit.
    fn room(&self, group: &Path) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(PathBuf::from(group).join(name)).ok();
        let number = |name| read(name)?.trim().parse::<u64>().ok();
        let (limit, used) = (number(self.limit)?, number(self.used)?);
        let stat = read("memory.stat").unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.cache)?.trim().parse().ok());
        Some(limit.saturating_sub(used.saturating_sub(cache.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(group: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(group).unwrap();
        for (name, value) in files {
            fs::write(group.join(name), value).unwrap();
        }
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(available_memory().unwrap() > 1 << 20);
    }

    #[test]
    fn the_smallest_group_around_the_worker_counts() {
        let mounts = tempfile::tempdir().unwrap();
        let of = |own: &str| of_the_groups(mounts.path(), own);
        assert_eq!(of("0::/a/capi-worker\n"), None, "there is no group");
        let stat = "anon 5\ninactive_file 100\nactive_file 7\n";
        write(
            &mounts.path().join("a"),
            &[("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", stat)],
        );
        write(&mounts.path().join("a/capi-worker"), &[("memory.max", "max\n"), ("memory.current", "5\n")]);
        assert_eq!(of("0::/a/capi-worker\n"), Some(400));
        assert_eq!(of("0::/b\n"), None, "it is in no group with a limit");
    }

    #[test]
    fn a_container_with_cgroup_v1_shows_its_group_at_the_top() {
        let mounts = tempfile::tempdir().unwrap();
        let stat = "inactive_file 1\ntotal_inactive_file 50\n";
        write(
            &mounts.path().join("memory"),
            &[("memory.limit_in_bytes", "1000"), ("memory.usage_in_bytes", "900"), ("memory.stat", stat)],
        );
        let own = "9:name=systemd:/x\n8:memory:/docker/1\n0::/\n";
        assert_eq!(of_the_groups(mounts.path(), own), Some(150));
    }
}
