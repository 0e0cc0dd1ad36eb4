//! While a command runs, the worker measures what it uses: memory, sockets, files in memory, bytes written,
//! and the size of its workspace.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::bound::{Bound, Disk};
use super::findings::{Before, Findings, find, is_over};
use super::hidden::search;
use super::job::{EndReason, Job};
use super::limits::SandboxLimits;
use super::open_files::KERNEL_OBJECT;
use super::pace::{EVERY, Room, SOONEST, pause};
use super::shortage::{Entry, Share, Shortage};
use super::tree::ProcessTree;
use super::usage::Growth;
use crate::workspace::QuotaExceeded;

/// A process that is unreadable for longer keeps its counts to itself.
const MOMENT: Duration = Duration::from_secs(1);

/// One check in five also searches for deleted files that are still open, which is slow.
const THOROUGH: u32 = 5;
/// A command that writes this much since the last search for hidden files is searched again.
const SEARCH_AFTER: u64 = 16 << 20;
pub(super) struct Watch<'a> {
    limits: &'a SandboxLimits,
    job: &'a Job,
    /// Whether a cgroup limits the memory.
    has_cgroup: bool,
    entry: &'a Entry,
    checks: u32,
    written: Growth,
    /// Bytes of deleted open files, by the last search.
    deleted: u64,
    before: Before,
    hidden: Bound,
    /// Since when each check found a process that keeps its count to itself.
    partial_since: Option<Instant>,
    /// Of all its processes, by the last search.
    mappings: u64,
    /// The longest information about an open file so far, in bytes.
    longest: u64,
    seen: Seen,
}

/// What at least one check could measure.
#[derive(Debug, Default)]
struct Seen {
    sockets: bool,
    tmp: bool,
    written: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        limits: &'a SandboxLimits,
        job: &'a Job,
        before: Before,
        has_cgroup: bool,
        entry: &'a Entry,
    ) -> Self {
        entry.update(Share { workspace: before.workspace, ..Share::default() });
        Self {
            limits,
            job,
            has_cgroup,
            entry,
            checks: 0,
            written: Growth::default(),
            deleted: 0,
            before,
            hidden: Bound::new(before.workspace),
            partial_since: None,
            mappings: 0,
            longest: 0,
            seen: Seen::default(),
        }
    }

    /// Checks again and again. Returns why the command must be ended.
    pub(super) async fn run(&mut self, tree: &ProcessTree) -> EndReason {
        let mut due = Instant::now() + SOONEST;
        loop {
            sleep_until(due).await;
            match self.check(tree).await {
                Ok(pause) => due = Instant::now() + pause,
                Err(reason) => return reason,
            }
        }
    }

    /// What no check could measure.
    pub(super) fn unmeasured(&self) -> Vec<&'static str> {
        let Seen { sockets, tmp, written } = self.seen;
        let all = [("sockets", sockets), ("files_in_memory", tmp), ("written_bytes", written)];
        let missing = all.into_iter().filter(|(_, is_seen)| self.checks > 0 && !is_seen);
        missing.map(|(name, _)| name).collect()
    }

    /// Returns the pause until the next check, or why the command must be ended.
    async fn check(&mut self, tree: &ProcessTree) -> Result<Duration, EndReason> {
        let started = Instant::now();
        self.checks += 1;
        let known = (!self.checks.is_multiple_of(THOROUGH)).then_some(self.deleted);
        let (workspace, quota, looked_at) = (self.job.mounts.workspace.clone(), self.job.quota, tree.clone());
        let locks = self.limits.locks;
        let looking = spawn_blocking(move || find(&workspace, &quota, &looked_at, known, locks));
        let Ok(mut found) = looking.await else { return Ok(EVERY) };
        self.deleted = found.deleted;
        self.seen.sockets |= found.usage.sockets.is_some();
        self.seen.tmp |= found.usage.tmp_entries.is_some();
        self.seen.written |= found.usage.written.is_seen;
        let disk = self.disk(&found);
        self.search(disk, tree).await;
        found.usage.memory += self.of_the_kernel(&found);
        let share = self.share(&found, &disk);
        self.entry.update(share);
        if let Some(reason) = self.exceeded(&found, &disk) {
            return Err(reason);
        }
        let took = started.elapsed();
        Ok(pause(took, self.entry.checked(took), &self.room(&found, &disk)))
    }

    fn disk(&mut self, found: &Findings) -> Disk {
        let written = self.written.add(found.usage.written.bytes);
        let others = self.entry.change_of_others();
        let lost = self.before.free.cast_signed().saturating_sub(found.free_on_disk.cast_signed());
        let taken = self.before.workspace.cast_signed().saturating_add(lost).saturating_sub(others);
        Disk { written, visible: found.on_disk() + found.deleted, taken: taken.max(0).cast_unsigned() }
    }

    /// Searches for hidden files in each thorough check, and sooner if they could be too large.
    async fn search(&mut self, disk: Disk, tree: &ProcessTree) {
        let bytes = self.job.quota.bytes;
        let is_due = self.checks.is_multiple_of(THOROUGH)
            || (self.possible(&disk) > bytes && self.hidden.unsearched(&disk) > SEARCH_AFTER)
            || self.hidden.may_exceed(&disk, bytes);
        if is_due {
            let tree = tree.clone();
            if let Ok((found, mappings)) = spawn_blocking(move || search(&tree)).await {
                self.hidden.add(found, disk);
                self.mappings = mappings;
            }
        }
    }

    /// Bytes that the kernel holds for mappings and open files.
    fn of_the_kernel(&mut self, found: &Findings) -> u64 {
        let open_files = &found.usage.open_files;
        self.longest = self.longest.max(open_files.longest());
        self.mappings * KERNEL_OBJECT + open_files.memory(self.longest)
    }

    /// The largest size of all files together, if none was deleted.
    fn possible(&self, disk: &Disk) -> u64 {
        self.before.workspace + disk.written
    }

    /// A process that begins or ends may be unreadable for a moment. That hides nothing.
    fn share(&mut self, found: &Findings, disk: &Disk) -> Share {
        let now = Instant::now();
        let since = self.partial_since.filter(|_| found.usage.written.is_partial);
        self.partial_since = since.or(found.usage.written.is_partial.then_some(now));
        let is_partial = since.is_some_and(|since| now - since >= MOMENT);
        Share {
            memory: found.usage.memory,
            workspace: found.on_disk(),
            deleted: found.deleted,
            hidden: self.hidden.hidden(disk, is_partial),
            is_partial,
        }
    }

    fn exceeded(&self, found: &Findings, disk: &Disk) -> Option<EndReason> {
        let (limits, usage) = (self.limits, &found.usage);
        let bytes = self.job.quota.bytes;
        if !self.has_cgroup && usage.memory > limits.memory {
            return Some(EndReason::MemoryLimit(limits.memory));
        }
        if usage.sockets.is_some_and(|sockets| sockets > limits.sockets) {
            return Some(EndReason::SocketLimit(limits.sockets));
        }
        if usage.open_files.objects > limits.locks {
            return Some(EndReason::LockLimit(limits.locks));
        }
        if usage.tmp_entries.is_some_and(|entries| entries > limits.tmp_entries) {
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
        if disk.written > limits.written {
            return Some(EndReason::WriteLimit(limits.written));
        }
        self.is_to_end(found, disk)
    }

    /// What only one command at a time is ended for.
    fn is_to_end(&self, found: &Findings, disk: &Disk) -> Option<EndReason> {
        let (limits, bytes) = (self.limits, self.job.quota.bytes);
        let must_end = |shortage| {
            let must = self.entry.must_end(shortage, std::time::Instant::now());
            if must {
                let (memory, written, taken) = (found.usage.memory, disk.written, disk.taken);
                let (free, available) = (found.free_on_disk, found.available_memory);
                tracing::warn!(
                    ?shortage,
                    memory,
                    written,
                    taken,
                    free,
                    available,
                    "ending the largest command"
                );
            }
            must
        };
        if self.hidden.exceeds(disk, bytes) && must_end(Shortage::Hidden) {
            return Some(EndReason::HiddenFiles(bytes));
        }
        if found.available_memory < limits.memory_reserve && must_end(Shortage::Memory) {
            return Some(EndReason::MachineMemory);
        }
        if found.free_on_disk < limits.disk_reserve && must_end(Shortage::Disk) {
            return Some(EndReason::MachineDisk);
        }
        None
    }

    /// What the command may still take before a limit is near.
    fn room(&self, found: &Findings, disk: &Disk) -> Room {
        let (limits, usage) = (self.limits, &found.usage);
        // A command that has written more than the workspace may hold is judged by what the disk lost.
        let possible = self.possible(disk);
        let used = if possible > self.job.quota.bytes { disk.taken.max(disk.visible) } else { possible };
        let memory = limits.memory.saturating_sub(usage.memory);
        // A machine that is short already gives no sign of what this command will take.
        let available = found.available_memory.checked_sub(limits.memory_reserve).unwrap_or(u64::MAX);
        let free = found.free_on_disk.checked_sub(limits.disk_reserve).unwrap_or(u64::MAX);
        Room {
            disk: self.job.quota.bytes.saturating_sub(used),
            began_full: self.before.workspace >= self.job.quota.bytes,
            free,
            memory: if self.has_cgroup { available } else { memory.min(available) },
            sockets: limits.sockets.saturating_sub(usage.sockets.unwrap_or_default()),
            tmp_entries: limits.tmp_entries.saturating_sub(usage.tmp_entries.unwrap_or_default()),
        }
    }
}
