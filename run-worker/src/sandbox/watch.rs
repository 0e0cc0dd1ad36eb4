//! A command looked at from outside while it runs: what its processes hold, what its workspace holds, and whether it gets a processor.
//!
//! A command that is there at the first look joins a group that gives way to services. Most have ended by then: joining one at the beginning would
//! cost each of them up to 15 ms, in which the kernel waits for all processors to notice.

use std::time::Duration;

use tokio::time::Instant;

use super::cgroup::{Cgroup, Cgroups, Members};
use super::limits::SandboxLimits;
use super::patience::Patience;
use super::supervise::{Ended, Job};
use super::tree::{Held, below, held};
use crate::workspace::{Excess, Measured, measure};

/// How often it is looked at, and the share of the time that may be spent on it. Services wait meanwhile: a look at 60 processes
/// with their files takes 2 ms.
const EVERY: Duration = Duration::from_millis(100);
const SHARE: u32 = 10;
/// Every so many looks, open files without a name are looked for.
const WITH_FILES: u32 = 5;

/// Bytes that a disk keeps free, whatever the workspaces on it may hold.
const DISK_RESERVE: u64 = 256 << 20;

/// Of one command.
pub(super) struct Watch<'a> {
    job: &'a Job,
    limits: &'a SandboxLimits,
    cgroups: Option<&'a Cgroups>,
    cgroup: &'a mut Option<Cgroup>,
    /// Whether all its processes are in it.
    all_joined: bool,
    /// While its group is idle.
    patience: Option<Patience>,
    looks: u32,
    /// Bytes in files without a name, when they were last looked for.
    nameless: u64,
    /// When to look.
    pub(super) due: Instant,
}

/// What one look finds.
struct Seen {
    all_joined: bool,
    held: Held,
    workspace: std::io::Result<Result<Measured, Excess>>,
    /// Bytes that the workspace's disk has left.
    room: u64,
}

impl<'a> Watch<'a> {
    /// Of a command that begins, in a group or not.
    pub(super) fn new(
        job: &'a Job,
        limits: &'a SandboxLimits,
        cgroups: Option<&'a Cgroups>,
        cgroup: &'a mut Option<Cgroup>,
    ) -> Self {
        let (all_joined, due) = (cgroup.is_some(), Instant::now() + EVERY);
        let mut watch =
            Self { job, limits, cgroups, cgroup, all_joined, patience: None, looks: 0, nameless: 0, due };
        watch.be_patient();
        watch
    }

    fn be_patient(&mut self) {
        let idle = self.cgroup.as_ref().filter(|cgroup| cgroup.holds_processors());
        self.patience = idle.map(|_| Patience::new(std::time::Instant::now()));
    }

    /// Makes the group of a command that has none yet, if it can have one.
    fn make_group(&mut self) {
        let Some(cgroups) = self.cgroups.filter(|_| self.cgroup.is_none()) else { return };
        match cgroups.create(self.limits) {
            Ok(cgroup) => *self.cgroup = Some(cgroup),
            Err(error) => {
                tracing::warn!(%error, "a command has no cgroup");
                self.cgroups = None;
            }
        }
        self.be_patient();
    }

    /// Looks. Why the command has to be ended, if it has to.
    pub(super) async fn look(&mut self, init: u32) -> Option<Ended> {
        let begun = Instant::now();
        self.make_group();
        self.looks += 1;
        let (with_files, all_joined) = (self.looks.is_multiple_of(WITH_FILES), self.all_joined);
        let (workspace, allowance) = (self.job.mounts.workspace.clone(), self.job.allowance);
        let members = self.cgroup.as_ref().map(Cgroup::members);
        let looking = tokio::task::spawn_blocking(move || {
            let (processes, all_joined) = processes(init, members, all_joined);
            Seen {
                all_joined,
                held: held(&processes, with_files),
                // A program may change what is being read; twice in a row that is no accident.
                workspace: measure(&workspace, &allowance).or_else(|_| measure(&workspace, &allowance)),
                room: rustix::fs::statvfs(&workspace)
                    .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }
        });
        let ended = match looking.await {
            Ok(seen) => {
                self.all_joined = seen.all_joined;
                self.nameless = seen.held.nameless.unwrap_or(self.nameless);
                self.mind_patience(&seen.held);
                self.judge(seen)
            }
            Err(_) => None,
        };
        self.due = Instant::now() + EVERY.max(begun.elapsed() * SHARE);
        ended
    }

    fn mind_patience(&mut self, held: &Held) {
        let over = self.patience.as_mut().is_some_and(|patience| {
            patience.is_over(std::time::Instant::now(), held.wants_processor, held.used)
        });
        if let (true, Some(cgroup)) = (over, self.cgroup.as_ref()) {
            metrics::counter!("capi_sandbox_commands_starved_total").increment(1);
            tracing::debug!("a command waited for a processor; its group is not idle any more");
            cgroup.stop_idling();
            self.patience = None;
        }
    }

    fn judge(&self, seen: Seen) -> Option<Ended> {
        if !self.cgroup.as_ref().is_some_and(Cgroup::holds_memory) && seen.held.memory > self.limits.memory {
            return Some(Ended::Memory(self.limits.memory));
        }
        let most = self.job.allowance.bytes;
        match seen.workspace {
            Ok(Ok(measured)) if measured.bytes + self.nameless > most => {
                Some(Ended::Workspace(Excess::Bytes(most)))
            }
            Ok(Ok(_)) if seen.room < DISK_RESERVE => Some(Ended::Workspace(Excess::Disk)),
            Ok(Ok(_)) => None,
            Ok(Err(excess)) => Some(Ended::Workspace(excess)),
            Err(error) => {
                tracing::warn!(%error, "a workspace cannot be measured; its command is ended");
                Some(Ended::Workspace(Excess::Bytes(most)))
            }
        }
    }
}

/// The processes of a command, and whether all of them are in its group. The first, bwrap's own, is no burden and stays outside.
fn processes(init: u32, members: Option<Members>, all_joined: bool) -> (Vec<u32>, bool) {
    match members {
        Some(members) if all_joined => (members.read(), true),
        Some(members) => {
            let below = below(init);
            let all_joined = members.take_in(&below[1..]);
            (below, all_joined)
        }
        None => (below(init), false),
    }
}
