//! The worker watches a command while it runs: the memory of its processes (where no cgroup holds it), and what its workspace holds.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::SandboxLimits;
use super::processes::{deleted_files_of, memory_of};
use super::supervise::{Ended, Job};
use super::tree::Tree;
use crate::workspace::{Allowance, Excess, Measured, measure};

/// How often the worker looks, and the share of the time that it may spend on that. A look at 60 processes with their files takes 2 ms.
const EVERY: Duration = Duration::from_millis(100);
const SHARE: u32 = 10;
/// The longest pause, however long a look took.
const AT_LEAST_EVERY: Duration = Duration::from_millis(500);
/// One look in so many also searches for deleted files that are still open.
const THOROUGH: u32 = 5;
/// Bytes that stay free on the disk, whatever the workspaces may hold.
const DISK_RESERVE: u64 = 256 << 20;

/// Of one command.
pub(super) struct Watch<'a> {
    limits: &'a SandboxLimits,
    job: &'a Job,
    /// Whether a cgroup bounds the memory.
    memory_is_held: bool,
    looks: u32,
    /// Bytes in deleted files, by the last search.
    deleted: u64,
    /// When to look.
    pub(super) due: Instant,
}

type Measurement = std::io::Result<Result<Measured, Excess>>;

/// The result of one look.
struct Seen {
    memory: u64,
    deleted: u64,
    workspace: Measurement,
    /// Bytes that are free on the disk.
    free: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(limits: &'a SandboxLimits, job: &'a Job, memory_is_held: bool) -> Self {
        Self { limits, job, memory_is_held, looks: 0, deleted: 0, due: Instant::now() + EVERY }
    }

    /// Looks once. Returns why the command must be ended, if it must.
    pub(super) async fn look(&mut self, tree: &Tree) -> Option<Ended> {
        let begun = Instant::now();
        self.due = begun + EVERY;
        self.looks += 1;
        let known = (!self.looks.is_multiple_of(THOROUGH)).then_some(self.deleted);
        let (workspace, allowance) = (self.job.mounts.workspace.clone(), self.job.allowance);
        let (tree, memory_is_held) = (tree.clone(), self.memory_is_held);
        let looking = tokio::task::spawn_blocking(move || {
            let (measured, deleted) = measure_all(&workspace, &allowance, &tree, known);
            Seen {
                memory: if memory_is_held { 0 } else { memory_of(&tree.members()) },
                deleted,
                workspace: measured,
                free: rustix::fs::statvfs(&workspace)
                    .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }
        });
        let seen = looking.await.ok()?;
        self.deleted = seen.deleted;
        self.due = Instant::now() + (begun.elapsed() * SHARE).clamp(EVERY, AT_LEAST_EVERY);
        self.judge(seen)
    }

    fn judge(&self, seen: Seen) -> Option<Ended> {
        if seen.memory > self.limits.memory {
            return Some(Ended::Memory(self.limits.memory));
        }
        let most = self.job.allowance.bytes;
        if is_over(&seen.workspace, seen.deleted, most) {
            return Some(Ended::Workspace(Excess::Bytes(most)));
        }
        match seen.workspace {
            Ok(Ok(_)) if seen.free < DISK_RESERVE => Some(Ended::Workspace(Excess::Disk)),
            Ok(Ok(_)) => None,
            Ok(Err(excess)) => Some(Ended::Workspace(excess)),
            Err(error) => {
                tracing::warn!(%error, "failed to measure a workspace; its command is ended");
                Some(Ended::Workspace(Excess::Bytes(most)))
            }
        }
    }
}

/// Measures the workspace and the deleted files. The `known` size of the latter is taken, unless it would end the command.
fn measure_all(
    workspace: &Path,
    allowance: &Allowance,
    tree: &Tree,
    known: Option<u64>,
) -> (Measurement, u64) {
    // A program may change what is being read; two failures in a row are no accident.
    let measure = || measure(workspace, allowance).or_else(|_| measure(workspace, allowance));
    let measured = measure();
    let known = known.filter(|known| *known == 0 || !is_over(&measured, *known, allowance.bytes));
    let deleted = known.unwrap_or_else(|| deleted_files_of(&tree.members()));
    if deleted > 0 && is_over(&measured, deleted, allowance.bytes) {
        // A file that was deleted between the two measurements was counted twice.
        return (measure(), deleted);
    }
    (measured, deleted)
}

/// Whether the workspace and the deleted files hold more than `most` bytes.
fn is_over(measured: &Measurement, deleted: u64, most: u64) -> bool {
    matches!(measured, Ok(Ok(measured)) if measured.bytes + deleted > most)
}
