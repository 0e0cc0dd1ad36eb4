//! One run of the model.

use shared::ids::{RunId, UserId};
use shared::runs::RunStatus;
use uuid::Uuid;

use super::Held;

/// More than the operations of a test. Leases expire long ago, a minute ago, or now: these come last.
pub(super) const MANY: usize = 1000;
/// After so many losses a run fails. Its takeover before the last one is its last chance.
pub(super) const MAX_LOSSES: i32 = 3;
/// From this attempt on, a loss beside other runs counts as the last one too.
const LAST_BESIDE_OTHERS: i32 = 6;

/// Whether the last event of a run is a takeover that isolated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    No,
    Lasts,
    Over,
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) user: UserId,
    pub(super) status: RunStatus,
    pub(super) attempt: i32,
    pub(super) losses: i32,
    pub(super) owner: Option<usize>,
    pub(super) claim: Option<Uuid>,
    /// The order in which its lease expired.
    pub(super) expired: Option<usize>,
    /// Whether its lease expired so long ago that an isolated run is taken beside others.
    pub(super) long_ago: bool,
    pub(super) isolation: Isolation,
    /// Whether its last event is a takeover, so short a time ago that a suspect is on probation.
    pub(super) probation: bool,
    /// The types of the events.
    pub(super) log: Vec<&'static str>,
}

impl Run {
    pub(super) fn pending(id: RunId, user: UserId) -> Self {
        Self {
            id,
            user,
            status: RunStatus::Pending,
            attempt: 0,
            losses: 0,
            owner: None,
            claim: None,
            expired: None,
            long_ago: false,
            isolation: Isolation::No,
            probation: false,
            log: vec!["run.created"],
        }
    }

    pub(super) fn last_seq(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == RunStatus::Running
    }

    pub(super) fn renewed(&mut self) {
        (self.expired, self.long_ago) = (None, false);
    }

    pub(super) fn start_attempt(&mut self, worker: usize, claim: Option<Uuid>, event: &'static str) {
        self.status = RunStatus::Running;
        self.attempt += 1;
        (self.owner, self.claim) = (Some(worker), claim);
        (self.isolation, self.probation) = (Isolation::No, false);
        self.renewed();
        self.log.push(event);
    }

    pub(super) fn end(&mut self, status: RunStatus, event: &'static str) {
        (self.status, self.losses, self.owner, self.claim) = (status, 0, None, None);
        self.log.push(event);
    }

    pub(super) fn give_back(&mut self, number: usize) {
        (self.owner, self.claim, self.expired, self.long_ago) = (None, None, Some(2 * MANY + number), false);
    }

    /// Whether this is the current fence of the run.
    pub(super) fn is_held_by(&self, held: &Held) -> bool {
        let claim = Some(held.fence.claim);
        self.is_running() && self.attempt == held.fence.attempt && self.claim == claim
    }

    /// Whether a step or an end of this holder counts.
    pub(super) fn takes(&self, held: &Held) -> bool {
        self.is_held_by(held) && self.owner.is_some() && self.last_seq() == held.last_seq
    }

    /// Its losses after a takeover. The last one counts only if it ended an isolated attempt in time.
    pub(super) fn losses_after(&self) -> i32 {
        let is_loss = self.owner.is_some();
        let counts = self.losses < MAX_LOSSES - 1
            || (self.isolation == Isolation::No && self.attempt >= LAST_BESIDE_OTHERS)
            || self.isolation == Isolation::Lasts;
        self.losses + i32::from(is_loss && counts)
    }
}
