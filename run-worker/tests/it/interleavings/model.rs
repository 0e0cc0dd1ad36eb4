//! A model in memory that predicts the result of each operation.

use shared::ids::RunId;
use shared::runs::{Cancelled, RunStatus};

use super::{CAP, Did, Held, Memory, Op};

/// More than the operations of a test. Their leases expire a minute ago, a given back one now.
const GIVEN_BACK: usize = 1000;

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) status: RunStatus,
    pub(super) attempt: i32,
    pub(super) losses: i32,
    owner: Option<usize>,
    /// When its lease expired, as the number of the operation. A given back lease counts as later.
    expired: Option<usize>,
    /// The types of the events.
    pub(super) log: Vec<&'static str>,
}

impl Run {
    pub(super) fn pending(id: RunId) -> Self {
        let log = vec!["run.created"];
        Self { id, status: RunStatus::Pending, attempt: 0, losses: 0, owner: None, expired: None, log }
    }

    fn last_seq(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    fn start_attempt(&mut self, worker: usize, event: &'static str) {
        self.status = RunStatus::Running;
        self.attempt += 1;
        (self.owner, self.expired) = (Some(worker), None);
        self.log.push(event);
    }

    fn end(&mut self, status: RunStatus, event: &'static str) {
        (self.status, self.losses, self.owner) = (status, 0, None);
        self.log.push(event);
    }

    fn is_of(&self, attempt: i32) -> bool {
        self.status == RunStatus::Running && self.attempt == attempt
    }
}

/// Predicts the result of `op`. `memory` holds the runs that the worker remembers.
pub(super) fn predict(runs: &mut [Run], memory: &Memory, number: usize, op: Op) -> Did {
    let running = runs.iter().filter(|run| run.status == RunStatus::Running).count();
    let find = |runs: &[Run], id: RunId| runs.iter().position(|run| run.id == id).unwrap();
    match op {
        Op::Claim { worker } => {
            let free = running < usize::try_from(CAP).unwrap();
            let next = runs.iter_mut().find(|run| free && run.status == RunStatus::Pending);
            Did::Claimed(next.map(|run| {
                run.start_attempt(worker, "run.started");
                (run.id, run.attempt, run.last_seq())
            }))
        }
        Op::TakeOver { worker } => Did::TookOver(take_over(runs, worker)),
        Op::Beat { .. } => {
            let mut kept = Vec::new();
            for held in memory {
                let at = find(runs, held.run);
                if runs[at].is_of(held.attempt) && runs[at].owner.is_some() {
                    runs[at].expired = None;
                    kept.push(held.run);
                }
            }
            kept.sort();
            Did::Kept(kept)
        }
        Op::Append { held, .. } | Op::Finish { held, .. } | Op::GiveBack { held, .. } => {
            let Some(held) = memory.get(held) else { return Did::Nothing };
            let at = find(runs, held.run);
            Did::Wrote(write(&mut runs[at], held, number, op))
        }
        Op::Cancel { run } => Did::Cancelled(if runs[run].status.is_over() {
            Cancelled::Over(runs[run].status)
        } else {
            let held = runs[run].owner.is_some();
            runs[run].end(RunStatus::Cancelled, "run.cancelled");
            Cancelled::Done { lane: None, held, startable: 0 }
        }),
        Op::LeasePasses { run } => {
            runs[run].expired = Some(number);
            Did::Nothing
        }
        Op::QueueTimePasses { run } => {
            let waits = runs[run].status == RunStatus::Pending;
            if waits {
                runs[run].end(RunStatus::Failed, "run.failed");
            }
            Did::Wrote(waits)
        }
    }
}

/// Takes one suspect at most, and nothing beside a run on its last chance.
fn take_over(runs: &mut [Run], worker: usize) -> Vec<(RunId, i32, i32)> {
    let held =
        |run: &&Run| run.status == RunStatus::Running && run.owner == Some(worker) && run.expired.is_none();
    let mine: Vec<i32> = runs.iter().filter(held).map(|run| run.losses).collect();
    let has_suspect = mine.iter().any(|losses| *losses > 0);
    let after = |run: &Run| run.losses + i32::from(run.owner.is_some());
    let mut expired: Vec<_> = (0..runs.len())
        .filter(|at| runs[*at].status == RunStatus::Running && runs[*at].expired.is_some())
        .collect();
    expired.sort_by_key(|at| runs[*at].expired);
    let first = |wanted: &dyn Fn(i32) -> bool| expired.iter().copied().find(|at| wanted(after(&runs[*at])));
    let last_chance = first(&|losses| losses == 2).filter(|_| mine.is_empty());
    let suspect = first(&|losses| losses > 0 && losses != 2).filter(|_| !has_suspect);
    let plain = expired.iter().copied().filter(|at| after(&runs[*at]) == 0);
    let others = suspect.into_iter().chain(plain).filter(|_| last_chance.is_none());
    let mut taken: Vec<_> = last_chance.into_iter().chain(others).collect();
    taken.sort_by_key(|at| runs[*at].id);
    let start = |at: usize| {
        let run = &mut runs[at];
        run.losses = after(run);
        run.start_attempt(worker, "run.taken_over");
        (run.id, run.attempt, run.losses)
    };
    taken.into_iter().map(start).collect()
}

/// Returns whether the worker's write to a run that it remembers succeeds.
fn write(run: &mut Run, held: &Held, number: usize, op: Op) -> bool {
    let mut ours = run.is_of(held.attempt) && run.owner.is_some();
    match op {
        Op::Append { .. } => {
            ours &= run.last_seq() == held.last_seq;
            if ours {
                (run.losses, run.expired) = (0, None);
                run.log.push("message");
            }
        }
        Op::Finish { well: true, .. } if ours => run.end(RunStatus::Completed, "run.completed"),
        Op::Finish { .. } if ours => run.end(RunStatus::Failed, "run.failed"),
        Op::GiveBack { .. } if ours => {
            (run.owner, run.expired) = (None, Some(number + GIVEN_BACK));
        }
        _ => {}
    }
    ours
}
