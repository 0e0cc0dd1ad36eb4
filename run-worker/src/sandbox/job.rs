//! A command as the sandbox gets it, and the result that the sandbox returns.

use std::path::PathBuf;
use std::time::Duration;

use super::output::CommandOutput;
use super::policy::Interpreter;
use crate::workspace::{Mounts, Quota, QuotaExceeded};

/// A script to run.
#[derive(Debug, Clone)]
pub struct Job {
    pub interpreter: Interpreter,
    pub script: String,
    pub mounts: Mounts,
    /// A path without a file. A long output is written there.
    pub output_file: PathBuf,
    pub time: Duration,
    /// What the workspace may hold meanwhile. For an over-full one, what it holds already.
    pub quota: Quota,
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// It exited by itself, with this code: 128 plus the signal if a signal ended it.
    Exited(i32),
    /// Its time was used up.
    TimedOut(Duration),
    /// It printed more than this many bytes.
    OutputLimit(u64),
    /// Its processes used more than this many bytes of memory.
    MemoryLimit(u64),
    /// Its processes had more than this many sockets.
    SocketLimit(u64),
    /// Its processes had more than this many locks of file ranges and entries of epoll.
    LockLimit(u64),
    /// It made more than this many files in /tmp and /dev/shm.
    TmpEntries(u64),
    /// It wrote more than this many bytes to the disk.
    WriteLimit(u64),
    /// The machine had too little memory left, and this command used most.
    MachineMemory,
    /// The machine's disk had too little space left, and this command took most since it began. Or its output
    /// could not be written there.
    MachineDisk,
    /// It took more than this many bytes of the disk that no file shows.
    HiddenFiles(u64),
    Quota(QuotaExceeded),
    /// The caller dropped the call.
    Cancelled,
}

/// The result of a job.
#[derive(Debug)]
pub struct Execution {
    pub end: EndReason,
    pub output: CommandOutput,
    /// From the begin of the command to its end.
    pub took: Duration,
    /// Whether the kernel has landlock. If so, it is in force.
    pub landlocked: bool,
    /// What the worker could not measure.
    pub unmeasured: Vec<&'static str>,
}
