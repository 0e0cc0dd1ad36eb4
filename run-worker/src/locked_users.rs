//! Claims for users whose slot another transaction has locked. Mostly the lock is that of an end or a claim
//! of another worker and lasts for milliseconds, so the handler waits for it. A lock that lasts longer must
//! not delay other users: the claim then goes on beside the next ones.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::ids::UserId;
use shared::queue::{Handled, Nudge, WorkQueue};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::consumer::{claim, count, count_claim, nudges_of, start};
use crate::context::Context;
use crate::leases::release::give_back;
use crate::leases::store::Wanted;

/// How long the handler waits for the claims of all locked users of a call.
const PATIENCE: Duration = Duration::from_millis(50);
/// Claims that wait at once. Each holds a database connection and a permit, for at most the lock timeout.
const AT_ONCE: usize = 4;
/// Users who wait until one of these claims has ended. The sweeper nudges further users again.
const MAX_LATER: usize = 1000;

/// The users whose claims wait for locks.
#[derive(Clone, Default)]
pub(crate) struct LockedUsers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: HashSet<UserId>,
    /// The numbers of runs that are wanted for users without a place in `waiting`.
    later: HashMap<UserId, u32>,
}

impl State {
    /// Returns whether to claim for the user now.
    fn begin(&mut self, wanted: Wanted) -> bool {
        let Wanted { user, count } = wanted;
        // An earlier claim for the user waits. It nudges again at its end.
        if self.waiting.contains(&user) {
            return false;
        }
        if self.waiting.len() < AT_ONCE {
            self.later.remove(&user);
            return self.waiting.insert(user);
        }
        if self.later.len() < MAX_LATER || self.later.contains_key(&user) {
            self.later.insert(user, count);
        }
        false
    }

    /// Returns nudges of the users who waited for a place.
    fn end(&mut self, user: UserId) -> Vec<Nudge> {
        self.waiting.remove(&user);
        self.later.drain().map(|(user, count)| Nudge::times(user.uuid(), count)).collect()
    }
}

impl LockedUsers {
    /// Claims a run for each of these users with the unused permits. Returns those that are left. One permit
    /// a user: the others stay free for users who are not locked. Nudges ask for the user's further runs.
    pub(crate) async fn claim(
        &self,
        context: &Arc<Context>,
        users: Vec<Wanted>,
        handled: Handled,
    ) -> Handled {
        let Handled { unused, mut again } = handled;
        let Some(mut left) = unused else {
            again.extend(nudges_of(&users));
            return Handled { unused: None, again };
        };
        let mut claims = Vec::new();
        for user in users {
            if left.num_permits() == 0 {
                again.extend(nudges_of(&[user]));
            } else if !self.lock().begin(user) {
                count("locked", user.count.into());
            } else if let Some(own) = left.split(1) {
                let claiming_context = Arc::clone(context);
                let claiming =
                    context.lifecycle.spawn(async move { claim_alone(&claiming_context, user, own).await });
                claims.push((user.user, claiming));
            }
        }
        let until = Instant::now() + PATIENCE;
        for (user, mut claiming) in claims {
            if let Ok(claimed) = timeout_at(until, &mut claiming).await {
                let claimed = claimed.unwrap_or_default();
                again.extend(claimed.again);
                again.extend(self.lock().end(user));
                if let Some(unused) = claimed.unused {
                    left.merge(unused);
                }
            } else {
                let (locked, context) = (self.clone(), Arc::clone(context));
                let lifecycle = context.lifecycle.clone();
                lifecycle.spawn(async move { locked.wait_for(&context, user, claiming).await });
            }
        }
        Handled { unused: Some(left), again }
    }

    /// Nudges the user after the claim, because nudges that came during the wait were dropped.
    async fn wait_for(&self, context: &Context, user: UserId, claiming: JoinHandle<Handled>) {
        let claimed = claiming.await.unwrap_or_default();
        let later = self.lock().end(user);
        for nudge in claimed.again.into_iter().chain(later) {
            context.publisher.nudge_times(WorkQueue::Runs, nudge.id, nudge.count);
        }
        context.publisher.nudge(WorkQueue::Runs, user.uuid());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_place_is_nudged_when_a_claim_ends() {
        let users: [_; AT_ONCE + 1] = std::array::from_fn(|_| UserId::generate());
        let wanted = |user| Wanted { user, count: 3 };
        let mut state = State::default();
        for user in &users[..AT_ONCE] {
            assert!(state.begin(wanted(*user)));
        }
        assert!(!state.begin(wanted(users[0])), "its claim waits");
        assert!(!state.begin(wanted(users[AT_ONCE])), "there is no place");
        assert_eq!(state.end(users[0]), [Nudge::times(users[AT_ONCE].uuid(), 3)]);
        assert!(state.begin(wanted(users[AT_ONCE])));
        assert!(state.end(users[1]).is_empty());
    }
}
