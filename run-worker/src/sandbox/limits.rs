//! The limits of one command. The app's own limits hold for a whole run.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Processes and threads. A test runner with its workers fits; a fork bomb does not.
    pub processes: u64,
    /// Bytes that one process can write to without a file: its heap, its stacks and private mappings. pandas
    /// and matplotlib have 0.8 GB.
    pub data: u64,
    /// Bytes of address space of one process. Node.js and Java reserve far more than they use: 10 GB for each
    /// module of WebAssembly, a quarter of the machine's memory for a heap. This bounds the page tables of a
    /// process to 128 MiB.
    pub address_space: u64,
    /// Bytes in memory of all processes together, with /tmp, /dev/shm and what the kernel holds for them.
    /// With cgroup v2 the kernel enforces this. Without it, the worker ends a command that it finds above the
    /// limit.
    pub memory: u64,
    /// Sockets of all processes together. Their full buffers are memory that no process shows. A pool of 64
    /// Python processes needs 256. Much data in TCP counts as sockets too (`sockets.rs`).
    pub sockets: u64,
    /// Locks of file ranges and entries of epoll of all processes together. The kernel keeps up to 256 bytes
    /// for each. 64 servers with 256 connections each have 16,384.
    pub locks: u64,
    /// Share of the processors with cgroup v2, where the worker has 100. The smallest value: the worker keeps
    /// most of the time even beside many commands.
    pub cpu_weight: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Bytes of /tmp, which is in memory and gone after the command.
    pub tmp: u64,
    /// Bytes of /dev/shm, which is in memory. Python's multiprocessing needs it.
    pub shared_memory: u64,
    /// Files and directories of /tmp and /dev/shm. Each costs the kernel 1 KiB, also an empty one.
    pub tmp_entries: u64,
    /// Bytes that a command may print.
    pub output: u64,
    /// Files and directories of a workspace: the worker counts them again and again while a command runs.
    pub entries: u64,
    /// Levels of directories of a workspace.
    pub depth: usize,
    /// Bytes that a command may write to the disk, also if it deletes them again: 27 MB/s for the longest
    /// time.
    pub written: u64,
    /// Bytes of memory that must stay available on the machine. Below, the worker ends the command that uses
    /// most. Other services need some time to notice a shortage, and the kernel ends any process.
    pub memory_reserve: u64,
    /// Bytes that must stay free on the disk. Below, the worker ends the command that took most since it
    /// began.
    pub disk_reserve: u64,
    /// The time of a command, unless the model says another.
    pub default_time: Duration,
    /// The longest time that the model can ask for.
    pub max_time: Duration,
}

impl SandboxLimits {
    pub const DEFAULT: Self = Self {
        processes: 64,
        data: 2 << 30,
        address_space: 64 << 30,
        memory: 1 << 30,
        sockets: 512,
        locks: 20_000,
        cpu_weight: 1,
        open_files: 256,
        tmp: 64 << 20,
        shared_memory: 16 << 20,
        tmp_entries: 10_000,
        output: 16 << 20,
        entries: 10_000,
        depth: 64,
        written: 16 << 30,
        memory_reserve: 256 << 20,
        disk_reserve: 256 << 20,
        default_time: Duration::from_mins(2),
        max_time: Duration::from_mins(10),
    };
}

/// A sandbox starts in some milliseconds; a busy machine needs longer.
pub(super) const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// After SIGKILL, the processes of a sandbox must be gone within this time.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(10);
