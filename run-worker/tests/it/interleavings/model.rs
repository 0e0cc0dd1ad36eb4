//! A model in memory that predicts the result of each operation.

use shared::ids::{RunId, UserId};
use shared::runs::{Cancelled, Finished, RunStatus};
use uuid::Uuid;

use super::run::{Isolation, MANY, MAX_LOSSES, Run};
use super::{CAP, Did, Indices, Memory, Op, RUNS_OF_A_USER, Stage, USERS};

/// The database, and what a failover leaves of it.
pub(super) struct Model {
    pub(super) users: Vec<UserId>,
    pub(super) runs: Vec<Run>,
    replicated: Vec<Run>,
}

impl Model {
    pub(super) fn of(stage: &Stage) -> Self {
        let owners = stage.users.iter().flat_map(|user| [*user; RUNS_OF_A_USER]);
        let runs: Vec<_> = stage.runs.iter().zip(owners).map(|(id, user)| Run::pending(*id, user)).collect();
        Self { users: stage.users.clone(), replicated: runs.clone(), runs }
    }

    /// Predicts the result of an operation. `memory` holds the runs that the worker remembers, `number`
    /// counts the operations.
    pub(super) fn predict(&mut self, memory: &Memory, number: usize, (op, id): (Op, Uuid)) -> Did {
        match op {
            Op::Claim { worker, counts, places, .. } => self.claim(worker, id, counts, places),
            Op::OldClaim { worker, user } => {
                let is_free = self.running(self.users[user]) < CAP.unsigned_abs();
                let next = self.pending(self.users[user]).next().filter(|_| is_free);
                let started = next.map(|at| self.start(at, worker, None)).into_iter().collect();
                Did::Claimed(started, Vec::new())
            }
            Op::TakeOver { worker } => Did::TookOver(self.take_over(worker, id)),
            Op::Append { held, .. } => Did::Wrote(self.append(memory, held)),
            Op::Finish { held, well, .. } => Did::Ended(self.finish(memory, held, well)),
            Op::Beat { .. } => {
                let mut kept = Vec::new();
                for run in &mut self.runs {
                    if memory.iter().any(|held| held.fence.run == run.id && run.is_held_by(held)) {
                        run.renewed();
                        kept.push(run.id);
                    }
                }
                Did::Kept(kept)
            }
            Op::GiveBack { held, .. } => memory.get(held).map_or(Did::Nothing, |held| {
                let run = self.run(held.fence.run);
                let is_ours = run.is_held_by(held);
                if is_ours {
                    run.give_back(number);
                }
                Did::Wrote(vec![is_ours])
            }),
            Op::GiveClaimBack { worker, held } => memory.get(held).map_or(Did::Nothing, |held| {
                let (mut given, claim) = (Vec::new(), Some(held.fence.claim));
                for run in &mut self.runs {
                    if run.is_running() && run.owner == Some(worker) && run.claim == claim {
                        run.give_back(number);
                        given.push(run.id);
                    }
                }
                Did::GaveBack(given)
            }),
            Op::OldFinish { held, .. } => match memory.get(held).filter(|held| held.is_old()) {
                None => Did::Nothing,
                Some(held) => {
                    let run = self.run(held.fence.run);
                    let is_ours = run.is_running() && run.attempt == held.fence.attempt;
                    if is_ours {
                        run.end(RunStatus::Completed, "run.completed");
                    }
                    Did::Wrote(vec![is_ours])
                }
            },
            _ => self.beside_workers(number, op),
        }
    }

    /// What the owners, the supervisors and time do.
    fn beside_workers(&mut self, number: usize, op: Op) -> Did {
        match op {
            Op::DeathNotice { worker } => {
                let mut ended = 0;
                for run in &mut self.runs {
                    if run.is_running() && run.owner == Some(worker) && run.expired.is_none() {
                        (run.expired, run.long_ago) = (Some(2 * MANY + number), false);
                        ended += 1;
                    }
                }
                Did::Noticed(ended)
            }
            Op::Cancel { run } => Did::Cancelled(self.cancel(run)),
            Op::LeasePasses { run, long_ago } if self.runs[run].is_running() => {
                let run = &mut self.runs[run];
                (run.expired, run.long_ago) = (Some(number + if long_ago { 0 } else { MANY }), long_ago);
                Did::Nothing
            }
            Op::RunLives { run, isolation } => {
                let run = &mut self.runs[run];
                run.probation = false;
                if isolation && run.isolation == Isolation::Lasts {
                    run.isolation = Isolation::Over;
                }
                Did::Nothing
            }
            Op::QueueTimePasses { runs } => {
                let ended = runs.below(self.runs.len()).map(|at| {
                    let run = &mut self.runs[at];
                    if run.status != RunStatus::Pending {
                        return Finished::Fenced;
                    }
                    run.end(RunStatus::Failed, "run.failed");
                    Finished::Done { user: run.user, lane: None, startable: 0 }
                });
                Did::Ended(ended.collect())
            }
            Op::Replicate => {
                self.replicated.clone_from(&self.runs);
                Did::Nothing
            }
            Op::Failover => {
                self.runs.clone_from(&self.replicated);
                Did::Nothing
            }
            _ => Did::Nothing,
        }
    }

    /// The places of a user.
    pub(super) fn running(&self, user: UserId) -> u32 {
        let running = self.runs.iter().filter(|run| run.user == user && run.is_running()).count();
        u32::try_from(running).unwrap()
    }

    /// The pending runs of a user, oldest first.
    fn pending(&self, user: UserId) -> impl Iterator<Item = usize> {
        let waits =
            move |at: &usize| self.runs[*at].user == user && self.runs[*at].status == RunStatus::Pending;
        (0..self.runs.len()).filter(waits)
    }

    /// How many pending runs of a user may start in so many places.
    fn startable(&self, user: UserId, places: usize) -> u32 {
        u32::try_from(self.pending(user).take(places).count()).unwrap()
    }

    fn run(&mut self, id: RunId) -> &mut Run {
        self.runs.iter_mut().find(|run| run.id == id).unwrap()
    }

    fn start(&mut self, at: usize, worker: usize, claim: Option<Uuid>) -> (RunId, i32, i64) {
        self.runs[at].start_attempt(worker, claim, "run.started");
        (self.runs[at].id, self.runs[at].attempt, self.runs[at].last_seq())
    }

    /// If the places are few, users with few running runs come first.
    fn claim(&mut self, worker: usize, id: Uuid, counts: [u32; USERS], places: u32) -> Did {
        let (mut candidates, mut asked) = (Vec::new(), Vec::new());
        for (user, count) in self.users.clone().into_iter().zip(counts) {
            let running = self.running(user);
            let free = CAP.unsigned_abs() - running;
            let most = count.min(places).min(free);
            let oldest: Vec<_> = self.pending(user).take(most as usize).collect();
            let may_have_more = most > 0 && oldest.len() == most as usize;
            candidates.extend(oldest.into_iter().zip(1..).map(|(at, position)| (running + position, at)));
            if may_have_more {
                asked.push((user, self.startable(user, free as usize)));
            }
        }
        candidates.sort_unstable();
        candidates.truncate(places as usize);
        let mut chosen: Vec<_> = candidates.into_iter().map(|(_, at)| at).collect();
        chosen.sort_unstable();
        let started_of = |user: UserId| chosen.iter().filter(|at| self.runs[**at].user == user).count();
        let more =
            asked.into_iter().map(|(user, all)| (user, all - u32::try_from(started_of(user)).unwrap()));
        let more: Vec<_> = more.filter(|(_, more)| *more > 0).collect();
        let runs = chosen.into_iter().map(|at| self.start(at, worker, Some(id))).collect();
        Did::Claimed(runs, more)
    }

    fn append(&mut self, memory: &Memory, held: Indices) -> Vec<bool> {
        let mut wrote = Vec::new();
        for at in held.below(memory.len()) {
            let run = self.run(memory[at].fence.run);
            wrote.push(run.takes(&memory[at]));
            if run.takes(&memory[at]) {
                (run.losses, run.isolation, run.probation) = (0, Isolation::No, false);
                run.renewed();
                run.log.push("message");
            }
        }
        wrote
    }

    /// The first end of a user has the number of runs that may start in the places of all.
    fn finish(&mut self, memory: &Memory, held: Indices, well: bool) -> Vec<Finished> {
        let (mut ended, mut answers) = (Vec::new(), Vec::new());
        for at in held.below(memory.len()) {
            let run = self.run(memory[at].fence.run);
            if run.takes(&memory[at]) {
                let (status, event) = if well {
                    (RunStatus::Completed, "run.completed")
                } else {
                    (RunStatus::Failed, "run.failed")
                };
                run.end(status, event);
                ended.push(run.user);
                answers.push(Some(run.user));
            } else {
                answers.push(None);
            }
        }
        let mut seen = Vec::new();
        let mut answer = |user: UserId| {
            let places = ended.iter().filter(|other| **other == user).count();
            let startable = if seen.contains(&user) { 0 } else { self.startable(user, places) };
            seen.push(user);
            Finished::Done { user, lane: None, startable }
        };
        answers.into_iter().map(|user| user.map_or(Finished::Fenced, &mut answer)).collect()
    }

    fn cancel(&mut self, at: usize) -> Cancelled {
        let run = &mut self.runs[at];
        if run.status.is_over() {
            return Cancelled::Over(run.status);
        }
        let (held, places, user) = (run.owner.is_some(), usize::from(run.is_running()), run.user);
        run.end(RunStatus::Cancelled, "run.cancelled");
        Cancelled::Done { lane: None, held, startable: self.startable(user, places) }
    }

    /// Takes one suspect at most, and nothing beside a run on its last chance.
    fn take_over(&mut self, worker: usize, id: Uuid) -> Vec<(RunId, i32, i32)> {
        let held = |run: &&Run| run.is_running() && run.owner == Some(worker) && run.expired.is_none();
        let mine: Vec<_> = self.runs.iter().filter(held).collect();
        let (is_empty, has_suspect) =
            (mine.is_empty(), mine.iter().any(|run| run.losses > 0 && run.probation));
        let mut expired: Vec<_> = (0..self.runs.len())
            .filter(|at| self.runs[*at].is_running() && self.runs[*at].expired.is_some())
            .collect();
        expired.sort_by_key(|at| self.runs[*at].expired);
        let after = |at: &usize| self.runs[*at].losses_after();
        let is_last_chance = |at: &usize| after(at) == MAX_LOSSES - 1;
        let last_chance =
            expired.iter().copied().find(|at| is_last_chance(at) && (is_empty || self.runs[*at].long_ago));
        let suspect = expired.iter().copied().find(|at| after(at) > 0 && !is_last_chance(at));
        let plain = expired.iter().copied().filter(|at| after(at) == 0);
        let mut taken: Vec<_> = match last_chance {
            Some(at) => vec![at],
            None => suspect.filter(|_| !has_suspect).into_iter().chain(plain).collect(),
        };
        taken.sort_by_key(|at| self.runs[*at].id);
        let alone = is_empty && last_chance.is_some();
        let start = |at: usize| {
            let run = &mut self.runs[at];
            run.losses = run.losses_after();
            run.start_attempt(worker, Some(id), "run.taken_over");
            (run.isolation, run.probation) = (if alone { Isolation::Lasts } else { Isolation::No }, true);
            (run.id, run.attempt, run.losses)
        };
        taken.into_iter().map(start).collect()
    }
}
