//! A command looked at from outside while it runs: what its processes hold, what its workspace holds, and whether it gets a processor.
//!
//! A command that is there at the first look and in no group yet (only where memory is held is it in one from the beginning) joins one that gives way
//! to services. Most have ended by then: joining costs up to 15 ms, in which the kernel waits for all processors to notice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::cgroup::Cgroup;
use super::patience::Patience;
use super::processes::{self, Held, held};
use super::supervise::{Ended, Job};
use super::tree::Tree;
use crate::workspace::{Allowance, Excess, Measured, measure};

/// How often it is looked at, and the share of the time that may be spent on it. Services wait meanwhile: a look at 60 processes
/// with their files takes 2 ms.
const EVERY: Duration = Duration::from_millis(100);
const SHARE: u32 = 10;
/// However long a look took.
const AT_LEAST_EVERY: Duration = Duration::from_millis(500);
/// Every so many looks, the whole tree is walked and open files without a name are looked for.
const THOROUGH: u32 = 5;

/// Bytes that a disk keeps free, whatever the workspaces on it may hold.
const DISK_RESERVE: u64 = 256 << 20;

/// Of one command.
pub(super) struct Watch<'a> {
    engine: &'a Arc<Engine>,
    job: &'a Job,
    cgroup: &'a mut Option<Arc<Cgroup>>,
    /// Whether all its processes are in its group.
    all_joined: bool,
    /// While its group is idle.
    patience: Option<Patience>,
    looks: u32,
    /// Bytes in files without a name, when they were last looked for.
    nameless: u64,
    /// When to look.
    pub(super) due: Instant,
}

type Measurement = std::io::Result<Result<Measured, Excess>>;

/// What one look finds.
struct Seen {
    cgroup: Option<Arc<Cgroup>>,
    all_joined: bool,
    held: Held,
    nameless: u64,
    workspace: Measurement,
    /// Bytes that the workspace's disk has left.
    room: u64,
}

impl<'a> Watch<'a> {
    /// Of a command that begins, in a group or not.
    pub(super) fn new(engine: &'a Arc<Engine>, job: &'a Job, cgroup: &'a mut Option<Arc<Cgroup>>) -> Self {
        Self {
            all_joined: cgroup.is_some(),
            patience: patience(cgroup.as_deref()),
            engine,
            job,
            cgroup,
            looks: 0,
            nameless: 0,
            due: Instant::now() + EVERY,
        }
    }

    /// Looks. Why the command has to be ended, if it has to.
    pub(super) async fn look(&mut self, tree: &Tree) -> Option<Ended> {
        let begun = Instant::now();
        self.due = begun + EVERY;
        self.looks += 1;
        let thorough = self.looks.is_multiple_of(THOROUGH);
        let known = self.all_joined && !thorough;
        let joins = self.looks == 1 && self.cgroup.is_none();
        let (workspace, allowance, nameless) =
            (self.job.mounts.workspace.clone(), self.job.allowance, self.nameless);
        let (engine, cgroup, tree) = (Arc::clone(self.engine), self.cgroup.clone(), tree.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let cgroup = if joins { new_group(&engine) } else { cgroup };
            let (processes, all_joined) = members(&tree, cgroup.as_deref(), known);
            let nameless = (!thorough).then_some(nameless);
            let (measured, nameless) = measure_all(&workspace, &allowance, &processes, nameless);
            Seen {
                cgroup,
                all_joined,
                held: held(&processes),
                nameless,
                workspace: measured,
                room: rustix::fs::statvfs(&workspace)
                    .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }
        });
        let seen = looking.await.ok()?;
        self.cgroup.clone_from(&seen.cgroup);
        self.all_joined = seen.all_joined;
        self.nameless = seen.nameless;
        if joins {
            self.patience = patience(self.cgroup.as_deref());
        }
        self.mind_patience(&seen.held);
        self.due = Instant::now() + (begun.elapsed() * SHARE).clamp(EVERY, AT_LEAST_EVERY);
        self.judge(seen)
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
        if !self.cgroup.as_ref().is_some_and(|cgroup| cgroup.holds.memory)
            && seen.held.memory > self.engine.limits.memory
        {
            return Some(Ended::Memory(self.engine.limits.memory));
        }
        let most = self.job.allowance.bytes;
        if is_over(&seen.workspace, seen.nameless, most) {
            return Some(Ended::Workspace(Excess::Bytes(most)));
        }
        match seen.workspace {
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

fn patience(cgroup: Option<&Cgroup>) -> Option<Patience> {
    cgroup.filter(|cgroup| cgroup.holds.processors()).map(|_| Patience::new(std::time::Instant::now()))
}

/// Of a command that has begun; without one it goes on all the same.
fn new_group(engine: &Engine) -> Option<Arc<Cgroup>> {
    let made = engine.new_group().inspect_err(|error| {
        tracing::warn!(%error, "a command has no cgroup");
        metrics::counter!("capi_sandbox_cgroup_failures_total").increment(1);
    });
    made.ok().flatten()
}

/// The processes of a command, and whether all of them are in its group, as is `known` or has to be seen to. The first, bwrap's own, is no burden
/// and stays outside.
fn members(tree: &Tree, cgroup: Option<&Cgroup>, known: bool) -> (Vec<u32>, bool) {
    let Some(cgroup) = cgroup else { return (tree.members(), false) };
    if known {
        // What orphans used is told of the first.
        let members = cgroup.members().into_iter().chain([tree.init()]).collect();
        return (members, true);
    }
    cgroup.take_in(tree).unwrap_or_else(|error| {
        tracing::debug!(%error, "a command cannot be moved into its cgroup");
        metrics::counter!("capi_sandbox_cgroup_failures_total").increment(1);
        (tree.members(), false)
    })
}

/// What a workspace holds, and how many bytes are in files without a name: as many as are `known`, unless they would be too many.
fn measure_all(
    workspace: &Path,
    allowance: &Allowance,
    processes: &[u32],
    known: Option<u64>,
) -> (Measurement, u64) {
    // A program may change what is being read; twice in a row that is no accident.
    let measure = || measure(workspace, allowance).or_else(|_| measure(workspace, allowance));
    let measured = measure();
    let known = known.filter(|known| *known == 0 || !is_over(&measured, *known, allowance.bytes));
    let nameless = known.unwrap_or_else(|| processes::nameless(processes));
    if nameless > 0 && is_over(&measured, nameless, allowance.bytes) {
        // What lost its name between the two was counted twice.
        return (measure(), nameless);
    }
    (measured, nameless)
}

/// Whether there are more bytes than `most`, those in files without a name too.
fn is_over(measured: &Measurement, nameless: u64, most: u64) -> bool {
    matches!(measured, Ok(Ok(measured)) if measured.bytes + nameless > most)
}
