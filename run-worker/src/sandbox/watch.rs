//! While a command runs, the worker checks the memory of its processes (unless a cgroup limits it) and the
//! size of its workspace.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::job::{EndReason, Job};
use super::limits::SandboxLimits;
use super::processes::{deleted_files_of, memory_of};
use super::tree::ProcessTree;
use crate::workspace::{Measured, Quota, QuotaExceeded, measure};

/// The shortest pause between two checks. A check of 60 processes with their files takes 2 ms.
const EVERY: Duration = Duration::from_millis(100);
/// The pause is at least this many times as long as the check took.
const PAUSE_FACTOR: u32 = 10;
/// The longest pause, even after a slow check.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// One check in five also searches for deleted files that are still open, which is slow.
const THOROUGH: u32 = 5;
/// Bytes that must stay free on the disk.
const DISK_RESERVE: u64 = 256 << 20;

pub(super) struct Watch<'a> {
    limits: &'a SandboxLimits,
    job: &'a Job,
    /// Whether a cgroup limits the memory.
    has_cgroup: bool,
    checks: u32,
    /// Bytes of deleted open files, by the last search.
    deleted: u64,
    /// The time of the next check.
    pub(super) due: Instant,
}

type Measurement = std::io::Result<Result<Measured, QuotaExceeded>>;

/// What one check found.
struct Findings {
    memory: u64,
    deleted: u64,
    workspace: Measurement,
    free_on_disk: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(limits: &'a SandboxLimits, job: &'a Job, has_cgroup: bool) -> Self {
        Self { limits, job, has_cgroup, checks: 0, deleted: 0, due: Instant::now() + EVERY }
    }

    /// Returns why the command must be ended, if it must.
    pub(super) async fn check(&mut self, tree: &ProcessTree) -> Option<EndReason> {
        let begun = Instant::now();
        self.due = begun + EVERY;
        self.checks += 1;
        let known = (!self.checks.is_multiple_of(THOROUGH)).then_some(self.deleted);
        let (workspace, quota) = (self.job.mounts.workspace.clone(), self.job.quota);
        let (tree, has_cgroup) = (tree.clone(), self.has_cgroup);
        let checking = tokio::task::spawn_blocking(move || {
            let (measured, deleted) = measure_all(&workspace, &quota, &tree, known);
            Findings {
                memory: if has_cgroup { 0 } else { memory_of(&tree.members()) },
                deleted,
                workspace: measured,
                free_on_disk: rustix::fs::statvfs(&workspace)
                    .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }
        });
        let found = checking.await.ok()?;
        self.deleted = found.deleted;
        self.due = Instant::now() + (begun.elapsed() * PAUSE_FACTOR).clamp(EVERY, MAX_PAUSE);
        self.exceeded(found)
    }

    fn exceeded(&self, found: Findings) -> Option<EndReason> {
        if found.memory > self.limits.memory {
            return Some(EndReason::MemoryLimit(self.limits.memory));
        }
        let bytes = self.job.quota.bytes;
        if is_over(&found.workspace, found.deleted, bytes) {
            return Some(EndReason::Quota(QuotaExceeded::Bytes(bytes)));
        }
        match found.workspace {
            Ok(Ok(_)) if found.free_on_disk < DISK_RESERVE => Some(EndReason::Quota(QuotaExceeded::Disk)),
            Ok(Ok(_)) => None,
            Ok(Err(exceeded)) => Some(EndReason::Quota(exceeded)),
            Err(error) => {
                tracing::warn!(%error, "failed to measure a workspace; the worker ends its command");
                Some(EndReason::Quota(QuotaExceeded::Bytes(bytes)))
            }
        }
    }
}

/// Measures the workspace and the deleted open files. Takes the `known` size of these, unless that would end
/// the command.
fn measure_all(
    workspace: &Path,
    quota: &Quota,
    tree: &ProcessTree,
    known: Option<u64>,
) -> (Measurement, u64) {
    // The command may change what is being measured. Two failures in a row are no accident.
    let measure = || measure(workspace, quota).or_else(|_| measure(workspace, quota));
    let measured = measure();
    let known = known.filter(|known| *known == 0 || !is_over(&measured, *known, quota.bytes));
    let deleted = known.unwrap_or_else(|| deleted_files_of(&tree.members()));
    if deleted > 0 && is_over(&measured, deleted, quota.bytes) {
        // A file that was deleted between the two measurements was counted twice.
        return (measure(), deleted);
    }
    (measured, deleted)
}

fn is_over(measured: &Measurement, deleted: u64, max: u64) -> bool {
    matches!(measured, Ok(Ok(measured)) if measured.bytes + deleted > max)
}
