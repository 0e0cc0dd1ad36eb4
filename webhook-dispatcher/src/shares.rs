//! Counts the permits that each user's deliveries hold. The claim divides the others, so that slow receivers
//! of one user leave room for all others: `claim_deliveries_v3` has the rules. A lane is doubtful until its
//! host answers, and again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;
use uuid::Uuid;

/// How many permits a user's deliveries hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    all: usize,
    /// Of these, for doubtful lanes.
    doubtful: usize,
}

/// The permits of a process, and how many of them each user holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub permits: i32,
    /// The next two are in the order of the users.
    pub users: Vec<Uuid>,
    pub held: Vec<i32>,
    /// Of these, for doubtful lanes.
    pub doubtful: Vec<i32>,
}

impl Offer {
    /// Enough permits for every lane of every user.
    #[must_use]
    pub fn everything() -> Self {
        Self::free(1_000_000)
    }

    /// Of a process whose permits are all free.
    #[must_use]
    pub fn free(permits: i32) -> Self {
        Self { permits, ..Self::default() }
    }
}

pub struct Shares {
    permits: usize,
    held: Mutex<HashMap<UserId, Held>>,
}

/// Holds a permit for a user until it is dropped.
pub struct Share {
    shares: Arc<Shares>,
    user: UserId,
    doubtful: bool,
}

impl Shares {
    #[must_use]
    pub fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { permits, held: Mutex::default() })
    }

    /// What the next claim divides.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        Offer {
            permits: count(self.permits),
            users: held.keys().map(|user| user.uuid()).collect(),
            held: held.values().map(|held| count(held.all)).collect(),
            doubtful: held.values().map(|held| count(held.doubtful)).collect(),
        }
    }

    /// Whether all permits but `own` are in use.
    #[must_use]
    pub fn are_used_up(&self, own: usize) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().map(|held| held.all).sum::<usize>() + own >= self.permits
    }

    #[must_use]
    pub fn hold(self: &Arc<Self>, user: UserId, doubtful: bool) -> Share {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let user_held = held.entry(user).or_default();
        user_held.all += 1;
        user_held.doubtful += usize::from(doubtful);
        Share { shares: Arc::clone(self), user, doubtful }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user_held) = held.get_mut(&self.user) {
            user_held.all -= 1;
            user_held.doubtful -= usize::from(self.doubtful);
            if user_held.all == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back_when_its_share_is_dropped() {
        let (shares, user) = (Shares::new(3), UserId::generate());
        assert_eq!(shares.offer(), Offer::free(3));
        let held = [shares.hold(user, true), shares.hold(user, false)];
        let both = Offer { permits: 3, users: vec![user.uuid()], held: vec![2], doubtful: vec![1] };
        assert_eq!(shares.offer(), both);
        assert!(shares.are_used_up(1) && !shares.are_used_up(0));
        drop(held);
        assert_eq!(shares.offer(), Offer::free(3));
    }
}
