//! While a command runs, the worker measures what it uses: memory, sockets, files in memory, bytes written,
//! and the size of its workspace.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::hidden::hides_files;
use super::job::{EndReason, Job};
use super::limits::SandboxLimits;
use super::processes::deleted_files_of;
use super::shortage::{Entry, Share, Shortage};
use super::tree::ProcessTree;
use super::usage::{Growth, Usage, available_memory, usage_of};
use crate::workspace::{Measured, Quota, QuotaExceeded, measure};

/// The usual pause between two checks. A check of 60 processes with their files takes 2 ms.
const EVERY: Duration = Duration::from_millis(100);
/// The pause before the first check, and the shortest near a limit.
const SOONEST: Duration = Duration::from_millis(20);
/// The pause is at least this many times as long as the check took.
const PAUSE_FACTOR: u32 = 10;
/// The longest pause, even after a slow check.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Bytes a millisecond that a command may take at most: 2 GiB/s. Near a limit, the next check is due before
/// the command can reach it.
const FASTEST: u64 = 2 << 20;
/// One check in five also searches for deleted files that are still open, which is slow.
const THOROUGH: u32 = 5;
/// A command that writes this much since the last search for hidden files is searched again.
const SEARCH_AFTER: u64 = 16 << 20;

pub(super) struct Watch<'a> {
    limits: &'a SandboxLimits,
    job: &'a Job,
    /// Whether a cgroup limits the memory.
    has_cgroup: bool,
    entry: Entry,
    checks: u32,
    written: Growth,
    /// Bytes of deleted open files, by the last search.
    deleted: u64,
    /// Before the command began: the size of the workspace, and the bytes free on the disk.
    begin: Option<(u64, u64)>,
    /// Bytes written at the last search for hidden files.
    searched: u64,
    /// The time of the next check.
    pub(super) due: Instant,
}

type Measurement = std::io::Result<Result<Measured, QuotaExceeded>>;

/// What one check found.
struct Findings {
    usage: Usage,
    deleted: u64,
    workspace: Measurement,
    free_on_disk: u64,
    available_memory: u64,
    processes: Vec<u32>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(limits: &'a SandboxLimits, job: &'a Job, has_cgroup: bool, entry: Entry) -> Self {
        Self {
            limits,
            job,
            has_cgroup,
            entry,
            checks: 0,
            written: Growth::default(),
            deleted: 0,
            begin: None,
            searched: 0,
            due: Instant::now() + SOONEST,
        }
    }

    /// Returns why the command must be ended, if it must.
    pub(super) async fn check(&mut self, tree: &ProcessTree) -> Option<EndReason> {
        let started = Instant::now();
        self.due = started + EVERY;
        self.checks += 1;
        let known = (!self.checks.is_multiple_of(THOROUGH)).then_some(self.deleted);
        let (workspace, quota, tree) = (self.job.mounts.workspace.clone(), self.job.quota, tree.clone());
        let checking = tokio::task::spawn_blocking(move || find(&workspace, &quota, &tree, known));
        let found = checking.await.ok()?;
        self.deleted = found.deleted;
        let written = self.written.add(found.usage.written);
        self.entry.update(Share { memory: found.usage.memory, written });
        let reason = match self.exceeded(&found, written) {
            None if self.may_hide(&found, written) && self.hides(&found, written).await => {
                Some(EndReason::Quota(QuotaExceeded::Bytes(self.job.quota.bytes)))
            }
            reason => reason,
        };
        let soon = Duration::from_millis(self.headroom(&found, written) / FASTEST).clamp(SOONEST, EVERY);
        self.due = Instant::now() + (started.elapsed() * PAUSE_FACTOR).clamp(soon, MAX_PAUSE);
        reason
    }

    fn exceeded(&self, found: &Findings, written: u64) -> Option<EndReason> {
        let (limits, usage) = (self.limits, &found.usage);
        let bytes = self.job.quota.bytes;
        if !self.has_cgroup && usage.memory > limits.memory {
            return Some(EndReason::MemoryLimit(limits.memory));
        }
        if usage.sockets > limits.sockets {
            return Some(EndReason::SocketLimit(limits.sockets));
        }
        if usage.tmp_entries > limits.tmp_entries {
            return Some(EndReason::TmpEntries(limits.tmp_entries));
        }
        if is_over(&found.workspace, found.deleted, bytes) {
            return Some(EndReason::Quota(QuotaExceeded::Bytes(bytes)));
        }
        match &found.workspace {
            Ok(Ok(_)) => {}
            Ok(Err(exceeded)) => return Some(EndReason::Quota(*exceeded)),
            Err(error) => {
                tracing::warn!(%error, "failed to measure a workspace; the worker ends its command");
                return Some(EndReason::Quota(QuotaExceeded::Bytes(bytes)));
            }
        }
        if written > limits.written {
            return Some(EndReason::WriteLimit(limits.written));
        }
        let must_end = |shortage| {
            let must = self.entry.must_end(shortage, std::time::Instant::now());
            if must {
                let (memory, free, available) = (usage.memory, found.free_on_disk, found.available_memory);
                tracing::warn!(?shortage, memory, written, free, available, "ending the largest command");
            }
            must
        };
        if found.available_memory < limits.memory_reserve && must_end(Shortage::Memory) {
            return Some(EndReason::MachineMemory);
        }
        if found.free_on_disk < limits.disk_reserve && must_end(Shortage::Disk) {
            return Some(EndReason::Quota(QuotaExceeded::Disk));
        }
        None
    }

    /// Whether hidden files could be larger than the workspace may be. What was there and what was written
    /// bounds them. Children that nobody waits for take their count with them, so the free space counts too.
    fn may_hide(&mut self, found: &Findings, written: u64) -> bool {
        let Ok(Ok(measured)) = &found.workspace else { return false };
        let bytes = self.job.quota.bytes;
        let (size, free) =
            *self.begin.get_or_insert((measured.bytes.saturating_sub(written), found.free_on_disk));
        let dropped = free.saturating_sub(found.free_on_disk);
        let suspicious = size + written > bytes || dropped > bytes;
        suspicious
            && (self.checks.is_multiple_of(THOROUGH) || written.saturating_sub(self.searched) > SEARCH_AFTER)
    }

    async fn hides(&mut self, found: &Findings, written: u64) -> bool {
        self.searched = written;
        let processes = found.processes.clone();
        tokio::task::spawn_blocking(move || hides_files(&processes)).await.unwrap_or(false)
    }

    /// Bytes that the command may still take before a limit is near.
    fn headroom(&self, found: &Findings, written: u64) -> u64 {
        let (limits, size) = (self.limits, self.begin.map_or(0, |(size, _)| size));
        // A command that has written more than the workspace may hold is judged by what is visible.
        let disk = self.job.quota.bytes.checked_sub(size + written).unwrap_or(u64::MAX);
        let memory = limits.memory.saturating_sub(found.usage.memory);
        let available = found.available_memory.checked_sub(limits.memory_reserve).unwrap_or(u64::MAX);
        let free = found.free_on_disk.checked_sub(limits.disk_reserve).unwrap_or(u64::MAX);
        if self.has_cgroup { disk.min(free) } else { disk.min(free).min(memory).min(available) }
    }
}

fn find(workspace: &Path, quota: &Quota, tree: &ProcessTree, known: Option<u64>) -> Findings {
    let processes = tree.members();
    let (measured, deleted) = measure_all(workspace, quota, &processes, known);
    Findings {
        usage: usage_of(&processes),
        deleted,
        workspace: measured,
        free_on_disk: rustix::fs::statvfs(workspace)
            .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        available_memory: available_memory().unwrap_or(u64::MAX),
        processes,
    }
}

/// Measures the workspace and the deleted open files. Takes the `known` size of these, unless that would end
/// the command.
fn measure_all(workspace: &Path, quota: &Quota, processes: &[u32], known: Option<u64>) -> (Measurement, u64) {
    // The command may change what is being measured. Two failures in a row are no accident.
    let measure = || measure(workspace, quota).or_else(|_| measure(workspace, quota));
    let measured = measure();
    let known = known.filter(|known| *known == 0 || !is_over(&measured, *known, quota.bytes));
    let deleted = known.unwrap_or_else(|| deleted_files_of(processes));
    if deleted > 0 && is_over(&measured, deleted, quota.bytes) {
        // A file that was deleted between the two measurements was counted twice.
        return (measure(), deleted);
    }
    (measured, deleted)
}

fn is_over(measured: &Measurement, deleted: u64, max: u64) -> bool {
    matches!(measured, Ok(Ok(measured)) if measured.bytes + deleted > max)
}
