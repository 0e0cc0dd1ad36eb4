//! Handles run nudges: claims the oldest pending runs of their users, as many as there are permits, and
//! starts them. At each poll interval it first takes expired leases over, because on a busy worker the
//! consumer gets the permits that become free.
//!
//! Read `execute` next: it is one run, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use shared::db::DbError;
use shared::queue::{Handled, Handler, Nudge};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::context::Context;
use crate::execute;
use crate::leases::in_doubt;
use crate::leases::store::{self, Claimed, ClaimedSet, Wanted};
use crate::leases::takeover::Reaper;
use crate::locked_users::LockedUsers;

pub struct RunHandler {
    context: Arc<Context>,
    reaper: Arc<Reaper>,
    locked: LockedUsers,
}

impl RunHandler {
    #[must_use]
    pub fn new(context: Arc<Context>, reaper: Arc<Reaper>) -> Self {
        Self { context, reaper, locked: LockedUsers::default() }
    }
}

impl Handler for RunHandler {
    async fn handle(
        &self,
        nudges: Vec<Nudge>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<Handled, DbError> {
        let (context, isolation) = (&self.context, &self.context.leases.isolation);
        let wanted: Vec<_> =
            nudges.iter().map(|nudge| Wanted { user: nudge.id.into(), count: nudge.count }).collect();
        let Some(claiming) = isolation.claim().await else {
            // The nudges came before the isolated run got all permits. Other workers take them.
            count("isolated", sum(&wanted));
            return Ok(Handled { unused: isolation.keep(permits), again: nudges });
        };
        let (ClaimedSet { runs, mut more, mut locked }, sent) =
            claim(context, &wanted, &permits, false).await?;
        count_claim(&runs, sum(&wanted).saturating_sub(sum(&locked)));
        start(context, runs, sent, &mut permits);
        if !more.is_empty() && permits.num_permits() > 0 {
            let rest = claim_more(context, more, &mut permits).await;
            more = rest.more;
            locked.extend(rest.locked);
        }
        drop(claiming);
        let handled = Handled { unused: Some(permits), again: nudges_of(&more) };
        Ok(self.locked.claim(context, locked, handled).await)
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(self.reaper.poll_interval())
    }

    fn poll_requests(&self) -> Option<watch::Receiver<u64>> {
        Some(self.reaper.poll_requests())
    }

    async fn poll(&self, permits: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        self.reaper.poll(permits).await
    }
}

/// Claims at most as many runs as there are permits. Returns them, and a time not later than the start of
/// their leases.
pub(crate) async fn claim(
    context: &Context,
    wanted: &[Wanted],
    permits: &OwnedSemaphorePermit,
    wait: bool,
) -> Result<(ClaimedSet, Instant), DbError> {
    let (by, id, sent) = (&context.leases.claimant, Uuid::new_v4(), Instant::now());
    let places = u32::try_from(permits.num_permits()).unwrap_or(u32::MAX);
    let claiming = context
        .db
        .write(|mut conn| async move { store::claim(&mut conn, by, id, wanted, places, wait).await });
    match claiming.await {
        Ok(claimed) => Ok((claimed, sent)),
        Err(error) => {
            in_doubt::give_back_later(&context.leases, id, &error);
            Err(error)
        }
    }
}

/// Uses permits that are left after a claim: a nudge may ask for fewer runs than its user has. Starts what it
/// claims, and returns whom it leaves.
async fn claim_more(
    context: &Arc<Context>,
    more: Vec<Wanted>,
    permits: &mut OwnedSemaphorePermit,
) -> ClaimedSet {
    match claim(context, &more, permits, false).await {
        Ok((ClaimedSet { runs, more, locked }, sent)) => {
            count_claim(&runs, 0);
            start(context, runs, sent, permits);
            ClaimedSet { runs: Vec::new(), more, locked }
        }
        // Their nudges are handled again, and then the error has its consequences.
        Err(error) => {
            tracing::warn!(%error, users = more.len(), "failed to claim further runs; nudging again");
            ClaimedSet { runs: Vec::new(), more, locked: Vec::new() }
        }
    }
}

/// Starts claimed runs, each with one of the permits.
pub(crate) fn start(
    context: &Arc<Context>,
    runs: Vec<Claimed>,
    sent: Instant,
    permits: &mut OwnedSemaphorePermit,
) {
    for run in runs {
        let Some(permit) = permits.split(1) else { return };
        execute::spawn(context, run, sent, permit);
    }
}

/// Counts the nudges of a claim: those that started a run, and the others.
pub(crate) fn count_claim(runs: &[Claimed], nudges: u64) {
    let claimed = u64::try_from(runs.len()).unwrap_or(u64::MAX);
    count("claimed", claimed);
    count("nothing", nudges.saturating_sub(claimed));
}

pub(crate) fn count(outcome: &'static str, nudges: u64) {
    if nudges > 0 {
        metrics::counter!("capi_run_nudges_total", "outcome" => outcome).increment(nudges);
    }
}

fn sum(wanted: &[Wanted]) -> u64 {
    wanted.iter().map(|wanted| u64::from(wanted.count)).sum()
}

pub(crate) fn nudges_of(users: &[Wanted]) -> Vec<Nudge> {
    users.iter().map(|wanted| Nudge::times(wanted.user.uuid(), wanted.count)).collect()
}
