//! What a command uses, by the kernel's counters: some small reads of /proc.

use rustix::fs::statvfs;

use super::open_files::{OpenFiles, open_files_of};
use super::processes::{Written, memory_of, written_by};
use super::sockets::{Sockets, sockets_of};

/// What the kernel needs for an empty file in memory: its inode and its name.
const TMP_ENTRY: u64 = 1 << 10;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes in memory: of the processes, of their sockets (`Sockets::memory`), of /tmp and /dev/shm. What
    /// the kernel holds for mappings and open files comes on top.
    pub(super) memory: u64,
    /// Sockets; much data in TCP counts as more of them.
    pub(super) sockets: Option<u64>,
    /// Files and directories of /tmp and /dev/shm.
    pub(super) tmp_entries: Option<u64>,
    pub(super) open_files: OpenFiles,
    /// Written to the disk, as the processes show it now.
    pub(super) written: Written,
}

/// Of a tree of processes. The first is the init of their namespaces. Above `locks`, no more are counted.
pub(super) fn usage_of(processes: &[u32], locks: u64) -> Usage {
    // All are in the same namespaces. An ordinary user cannot look into the first, and others may end.
    let sockets = processes.iter().find_map(|pid| sockets_of(*pid));
    let files = processes.iter().find_map(|pid| files_in_memory(*pid));
    let (in_files, tmp_entries) = files.unwrap_or_default();
    let Sockets { memory: in_sockets, .. } = sockets.unwrap_or_default();
    Usage {
        memory: memory_of(processes) + in_sockets + in_files + tmp_entries * TMP_ENTRY,
        sockets: sockets.map(|sockets| sockets.count),
        tmp_entries: files.map(|(_, entries)| entries),
        open_files: open_files_of(processes, locks),
        written: written_by(processes),
    }
}

/// Bytes and entries of /tmp and /dev/shm.
fn files_in_memory(pid: u32) -> Option<(u64, u64)> {
    let mut sum = (0, 0);
    for path in ["tmp", "dev/shm"] {
        let found = statvfs(format!("/proc/{pid}/root/{path}")).ok()?;
        let blocks = found.f_blocks.saturating_sub(found.f_bfree);
        sum.0 += blocks * found.f_frsize;
        sum.1 += found.f_files.saturating_sub(found.f_ffree);
    }
    Some(sum)
}

/// Adds up what appears in a sum that may also fall: a process that ends takes its share with it, and the
/// parent that waits for it gets that share a moment later. The result is never too small for that.
#[derive(Debug, Default)]
pub(super) struct Growth {
    last: u64,
    total: u64,
}

impl Growth {
    pub(super) fn add(&mut self, sum: u64) -> u64 {
        self.total += sum.saturating_sub(self.last);
        self.last = sum;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_the_own_process_are_measured() {
        let own = usage_of(&[std::process::id()], 10);
        assert!(own.memory > 1 << 20 && own.sockets.is_some(), "{own:?}");
        assert_eq!(usage_of(&[], 10), Usage::default());
    }

    #[test]
    fn a_share_that_moves_is_not_lost() {
        let mut growth = Growth::default();
        assert_eq!([10, 30, 5, 25, 25].map(|sum| growth.add(sum)), [10, 30, 30, 50, 50]);
    }
}
