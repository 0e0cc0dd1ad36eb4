//! A model in memory that predicts the result of each operation.

use shared::ids::RunId;
use shared::runs::{Cancelled, RunStatus};

use super::{CAP, Did, Held, Memory, Op};

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) status: RunStatus,
    pub(super) attempt: i32,
    pub(super) losses: i32,
    owned: bool,
    expired: bool,
    /// The types of the events.
    pub(super) log: Vec<&'static str>,
}

impl Run {
    pub(super) fn pending(id: RunId) -> Self {
        let log = vec!["run.created"];
        Self { id, status: RunStatus::Pending, attempt: 0, losses: 0, owned: false, expired: false, log }
    }

    fn last_seq(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    fn start_attempt(&mut self, event: &'static str) {
        self.status = RunStatus::Running;
        self.attempt += 1;
        (self.owned, self.expired) = (true, false);
        self.log.push(event);
    }

    fn end(&mut self, status: RunStatus, event: &'static str) {
        (self.status, self.losses, self.owned) = (status, 0, false);
        self.log.push(event);
    }

    fn is_of(&self, attempt: i32) -> bool {
        self.status == RunStatus::Running && self.attempt == attempt
    }
}

/// Predicts the result of `op`. `memory` holds the runs that the worker remembers.
pub(super) fn predict(runs: &mut [Run], memory: &Memory, op: Op) -> Did {
    let running = runs.iter().filter(|run| run.status == RunStatus::Running).count();
    let find = |runs: &[Run], id: RunId| runs.iter().position(|run| run.id == id).unwrap();
    match op {
        Op::Claim { .. } => {
            let free = running < usize::try_from(CAP).unwrap();
            let next = runs.iter_mut().find(|run| free && run.status == RunStatus::Pending);
            Did::Claimed(next.map(|run| {
                run.start_attempt("run.started");
                (run.id, run.attempt, run.last_seq())
            }))
        }
        Op::TakeOver { .. } => {
            let expired = runs.iter_mut().filter(|run| run.status == RunStatus::Running && run.expired);
            let mut taken: Vec<_> = expired
                .map(|run| {
                    run.losses += i32::from(run.owned);
                    run.start_attempt("run.taken_over");
                    (run.id, run.attempt, run.losses)
                })
                .collect();
            taken.sort();
            Did::TookOver(taken)
        }
        Op::Beat { .. } => {
            let mut kept = Vec::new();
            for held in memory {
                let at = find(runs, held.run);
                if runs[at].is_of(held.attempt) && runs[at].owned {
                    runs[at].expired = false;
                    kept.push(held.run);
                }
            }
            kept.sort();
            Did::Kept(kept)
        }
        Op::Append { held, .. } | Op::Finish { held, .. } | Op::GiveBack { held, .. } => {
            let Some(held) = memory.get(held) else { return Did::Nothing };
            let at = find(runs, held.run);
            Did::Wrote(write(&mut runs[at], held, op))
        }
        Op::Cancel { run } => Did::Cancelled(if runs[run].status.is_over() {
            Cancelled::Over(runs[run].status)
        } else {
            let held = runs[run].owned;
            runs[run].end(RunStatus::Cancelled, "run.cancelled");
            Cancelled::Done { lane: None, held }
        }),
        Op::LeasePasses { run } => {
            runs[run].expired = true;
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

/// Returns whether the worker's write to a run that it remembers succeeds.
fn write(run: &mut Run, held: &Held, op: Op) -> bool {
    let mut ours = run.is_of(held.attempt);
    match op {
        Op::Append { .. } => {
            ours &= run.owned && run.last_seq() == held.last_seq;
            if ours {
                (run.losses, run.expired) = (0, false);
                run.log.push("message");
            }
        }
        Op::Finish { well: true, .. } if ours => run.end(RunStatus::Completed, "run.completed"),
        Op::Finish { .. } if ours => run.end(RunStatus::Failed, "run.failed"),
        Op::GiveBack { .. } if ours => (run.owned, run.expired) = (false, true),
        _ => {}
    }
    ours
}
