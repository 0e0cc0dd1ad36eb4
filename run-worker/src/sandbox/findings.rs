//! What one check of a command finds. All of this may block.

use std::path::Path;

use super::available::available_memory;
use super::processes::deleted_files_of;
use super::tree::ProcessTree;
use super::usage::{Usage, usage_of};
use crate::workspace::{Measured, Quota, QuotaExceeded, measure};

type Measurement = std::io::Result<Result<Measured, QuotaExceeded>>;

/// What one check found.
pub(super) struct Findings {
    pub(super) usage: Usage,
    pub(super) deleted: u64,
    pub(super) workspace: Measurement,
    pub(super) free_on_disk: u64,
    pub(super) available_memory: u64,
}

impl Findings {
    /// Bytes on disk of the workspace.
    pub(super) fn on_disk(&self) -> u64 {
        on_disk(&self.workspace)
    }
}

/// 0 for a workspace that is too large or cannot be measured: its command is ended for that.
fn on_disk(workspace: &Measurement) -> u64 {
    workspace.as_ref().map_or(0, |measured| measured.map_or(0, |measured| measured.on_disk))
}

/// Bytes on disk of a workspace in which no command runs.
pub(super) fn size_of(workspace: &Path, quota: &Quota) -> u64 {
    on_disk(&measure(workspace, quota))
}

/// Counts up to so many `locks`.
pub(super) fn find(
    workspace: &Path,
    quota: &Quota,
    tree: &ProcessTree,
    known: Option<u64>,
    locks: u64,
) -> Findings {
    let processes = tree.members();
    let (measured, deleted) = measure_all(workspace, quota, &processes, known);
    let available_memory = available_memory().unwrap_or(u64::MAX);
    let usage = usage_of(&processes, locks);
    Findings { usage, deleted, workspace: measured, free_on_disk: free_on_disk(workspace), available_memory }
}

/// A disk that cannot be asked does not count as full.
pub(super) fn free_on_disk(workspace: &Path) -> u64 {
    let asked = rustix::fs::statvfs(workspace).inspect_err(|error| {
        tracing::warn!(%error, "failed to ask for the free space of the disk");
    });
    asked.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
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

pub(super) fn is_over(measured: &Measurement, deleted: u64, max: u64) -> bool {
    matches!(measured, Ok(Ok(measured)) if measured.bytes + deleted > max)
}
