//! Claims for users whose slot another transaction has locked. Mostly the lock is that of an end or a claim
//! of another worker and lasts for milliseconds, so the handler waits for it. A lock that lasts longer must
//! not delay other users: the claim then goes on beside the next ones.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::ids::UserId;
use shared::queue::{Handled, WorkQueue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::consumer::{claim, count, count_claim, nudges_of, start};
use crate::context::Context;
use crate::leases::release::give_back;
use crate::leases::store::Wanted;

/// How long the handler waits for a claim.
const PATIENCE: Duration = Duration::from_millis(50);
/// Claims that go on beside the handler at once. Each holds a database connection, for at most the lock
/// timeout. The sweeper nudges further users again.
const AT_ONCE: usize = 4;

/// The users whose claims go on beside the handler.
#[derive(Clone, Default)]
pub(crate) struct LockedUsers(Arc<Mutex<HashSet<UserId>>>);

impl LockedUsers {
    /// Claims runs of the user with the unused permits. Returns those that are left.
    pub(crate) async fn claim(&self, context: &Arc<Context>, user: Wanted, handled: Handled) -> Handled {
        let Handled { unused, mut again } = handled;
        let wanted = usize::try_from(user.count).unwrap_or(usize::MAX);
        let Some(mut left) = unused else {
            again.extend(nudges_of(&[user]));
            return Handled { unused: None, again };
        };
        let Some(own) = left.split(wanted.min(left.num_permits())).filter(|own| own.num_permits() > 0) else {
            again.extend(nudges_of(&[user]));
            return Handled { unused: Some(left), again };
        };
        if self.has_no_place_for(user.user) {
            // An earlier claim for the user waits, and its end nudges again. Or the sweeper does.
            count("locked", user.count.into());
            left.merge(own);
            return Handled { unused: Some(left), again };
        }
        let claiming_context = Arc::clone(context);
        let mut claiming =
            context.lifecycle.spawn(async move { claim_alone(&claiming_context, user, own).await });
        if let Ok(claimed) = tokio::time::timeout(PATIENCE, &mut claiming).await {
            let claimed = claimed.unwrap_or_default();
            again.extend(claimed.again);
            if let Some(unused) = claimed.unused {
                left.merge(unused);
            }
        } else {
            self.lock().insert(user.user);
            let (users, context) = (self.clone(), Arc::clone(context));
            let lifecycle = context.lifecycle.clone();
            lifecycle.spawn(async move { users.wait_for(&context, user.user, claiming).await });
        }
        Handled { unused: Some(left), again }
    }

    fn has_no_place_for(&self, user: UserId) -> bool {
        let waiting = self.lock();
        waiting.contains(&user) || waiting.len() >= AT_ONCE
    }

    /// Nudges the user after the claim, because nudges that came during the wait were dropped.
    async fn wait_for(&self, context: &Context, user: UserId, claiming: JoinHandle<Handled>) {
        let claimed = claiming.await.unwrap_or_default();
        self.lock().remove(&user);
        for nudge in claimed.again {
            context.publisher.nudge_times(WorkQueue::Runs, nudge.id, nudge.count);
        }
        context.publisher.nudge(WorkQueue::Runs, user.uuid());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<UserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the lock without a guard against isolation: a takeover would wait for the guard, and all claims
/// for the takeover. If a run was isolated meanwhile, the claimed runs go back.
async fn claim_alone(context: &Arc<Context>, user: Wanted, mut permits: OwnedSemaphorePermit) -> Handled {
    let isolation = &context.leases.isolation;
    match claim(context, &[user], &permits, true).await {
        Ok((claimed, sent)) => {
            let Some(_claiming) = isolation.claim().await else {
                for run in &claimed.runs {
                    give_back(&context.leases, run.fence()).await;
                }
                count("isolated", user.count.into());
                return Handled { unused: isolation.keep(permits), again: nudges_of(&[user]) };
            };
            count_claim(&claimed.runs, user.count.into());
            start(context, claimed.runs, sent, &mut permits);
            Handled { unused: Some(permits), again: nudges_of(&claimed.more) }
        }
        Err(error) if error.is_away() => Handled { unused: Some(permits), again: nudges_of(&[user]) },
        Err(error) => {
            metrics::counter!("capi_nudges_failed_total").increment(1);
            tracing::error!(user_id = %user.user, %error, "failed to claim runs of a locked user");
            Handled { unused: Some(permits), again: Vec::new() }
        }
    }
}
