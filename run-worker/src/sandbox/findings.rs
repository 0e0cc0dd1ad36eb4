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
        self.workspace.as_ref().map_or(0, |measured| measured.map_or(0, |measured| measured.on_disk))
    }
}

/// The disk before a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// Bytes on disk of the workspace.
    pub(super) workspace: u64,
    /// Bytes free on the disk.
    pub(super) free: u64,
}

/// Looks before the command begins: later, a program that ends during a check hides what it wrote.
pub(super) fn look_before(workspace: &Path, quota: &Quota) -> std::io::Result<Before> {
    let measured = measure_again_if_it_fails(workspace, quota)?;
    // The first check ends the command of a workspace that is too large.
    let on_disk = measured.map_or(quota.bytes, |measured| measured.on_disk);
    Ok(Before { workspace: on_disk, free: free_on_disk(workspace) })
}

/// A command may change what is being measured. Two failures in a row are no accident.
fn measure_again_if_it_fails(workspace: &Path, quota: &Quota) -> Measurement {
    measure(workspace, quota).or_else(|_| measure(workspace, quota))
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
pub(crate) fn free_on_disk(workspace: &Path) -> u64 {
    let asked = rustix::fs::statvfs(workspace).inspect_err(|error| {
        tracing::warn!(%error, "failed to ask for the free space of the disk");
    });
    asked.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Measures the workspace and the deleted open files. Takes the `known` size of these, unless that would end
/// the command.
fn measure_all(workspace: &Path, quota: &Quota, processes: &[u32], known: Option<u64>) -> (Measurement, u64) {
    let measure = || measure_again_if_it_fails(workspace, quota);
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
