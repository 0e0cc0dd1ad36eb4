//! What a command in a sandbox may use, each with its reason. What belongs to one run is in the app's own limits.

use std::time::Duration;

/// See the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Processes and threads. A test runner with its workers fits; a fork bomb ends here. Counted per sandbox.
    pub processes: u64,
    /// Bytes of address space of one process. pandas and matplotlib map 0.8 GB; an allocation of 4 GB fails in the program that
    /// asks for it.
    pub address_space: u64,
    /// Bytes in memory of all its processes together. With cgroup v2 the kernel holds this limit; without it the worker ends a command
    /// that it finds above.
    pub memory: u64,
    /// Share of the processors with cgroup v2, where the worker itself has 100. 1 is the least: many commands at once still leave the
    /// worker most of the time.
    pub cpu_weight: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Bytes of /tmp: memory, gone after the command.
    pub tmp: u64,
    /// Bytes of /dev/shm: memory; for what Python's multiprocessing shares.
    pub shared_memory: u64,
    /// Bytes that a command may print. Whoever prints more is not going to end.
    pub printed: u64,
    /// Files and directories of a workspace: each is looked at again and again.
    pub entries: u64,
    /// Levels of directories of a workspace.
    pub depth: usize,
    /// What a command has where the model does not say how long it may take.
    pub usual_time: Duration,
    /// What the model may give it at most.
    pub longest_time: Duration,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            processes: 64,
            address_space: 2 << 30,
            memory: 1 << 30,
            cpu_weight: 1,
            open_files: 256,
            tmp: 64 << 20,
            shared_memory: 16 << 20,
            printed: 16 << 20,
            entries: 10_000,
            depth: 64,
            usual_time: Duration::from_mins(2),
            longest_time: Duration::from_mins(10),
        }
    }
}

/// For a sandbox to start; a busy machine needs a part of it.
pub(super) const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// For the processes of a sandbox to be gone after they were killed.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);
