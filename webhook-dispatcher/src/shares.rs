//! Divides the permits of this process, so that slow receivers of one user leave room for all others. A lane
//! is doubtful until its host answers, and again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;
use uuid::Uuid;

/// A user's doubtful lanes get as many permits as a part of those that are free: one of this many.
const DOUBTFUL_PART: usize = 4;

/// How many permits a user's deliveries hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    all: usize,
    /// Of these, for doubtful lanes.
    doubtful: usize,
}

/// Which lanes a claim may take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// No lane of these users.
    pub full: Vec<Uuid>,
    /// No doubtful lane of these users.
    pub doubtful_full: Vec<Uuid>,
    /// Whether doubtful lanes of other users may be claimed.
    pub doubtful: bool,
}

impl Offer {
    /// Every lane of every user.
    #[must_use]
    pub const fn everything() -> Self {
        Self { full: Vec::new(), doubtful_full: Vec::new(), doubtful: true }
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

    /// What the next claim may take while `free` permits are free.
    #[must_use]
    pub fn offer(&self, free: usize) -> Offer {
        offer(&self.held.lock().unwrap_or_else(PoisonError::into_inner), free, self.permits)
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

/// A user may hold as many permits as are free. So one user gets half of them, and each further user finds
/// some. Each user may hold one, and doubtful lanes never hold the last quarter.
fn offer(held: &HashMap<UserId, Held>, free: usize, permits: usize) -> Offer {
    let users = |is_full: &dyn Fn(&Held) -> bool| {
        held.iter().filter(|(_, held)| is_full(held)).map(|(user, _)| user.uuid()).collect::<Vec<_>>()
    };
    let doubtful: usize = held.values().map(|held| held.doubtful).sum();
    Offer {
        full: users(&|held| held.all >= free.max(1)),
        doubtful_full: users(&|held| held.doubtful >= (free / DOUBTFUL_PART).max(1)),
        doubtful: doubtful < (permits - permits / DOUBTFUL_PART).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMITS: usize = 64;

    /// Lets each user in turn take permits until all are refused. Returns what each holds, and what is free.
    fn fill(users: usize, doubtful: bool) -> (Vec<usize>, usize) {
        let shares = Shares::new(PERMITS);
        let users: Vec<_> = (0..users).map(|_| UserId::generate()).collect();
        let (mut taken, mut counts) = (Vec::new(), vec![0; users.len()]);
        for round in 0..PERMITS * users.len() {
            let (index, free) = (round % users.len(), PERMITS - taken.len());
            let (user, offer) = (users[index], shares.offer(free));
            let is_full = if doubtful {
                !offer.doubtful || offer.doubtful_full.contains(&user.uuid())
            } else {
                offer.full.contains(&user.uuid())
            };
            if free > 0 && !is_full {
                taken.push(shares.hold(user, doubtful));
                counts[index] += 1;
            }
        }
        (counts, PERMITS - taken.len())
    }

    #[test]
    fn one_user_takes_half_and_many_share() {
        assert_eq!(fill(1, false), (vec![32], 32));
        assert_eq!(fill(3, false), (vec![16; 3], 16));
        let (counts, free) = fill(20, false);
        assert!(counts.iter().all(|count| (3..=4).contains(count)) && free >= 3, "{counts:?} {free}");
        assert!(fill(64, false).0.iter().all(|count| *count == 1), "each may hold one");
    }

    #[test]
    fn doubtful_lanes_take_less_and_leave_a_quarter() {
        assert_eq!(fill(1, true), (vec![13], 51));
        let (counts, free) = fill(10, true);
        assert!(counts.iter().all(|count| (4..=5).contains(count)) && free >= 16, "{counts:?} {free}");
        assert!(fill(100, true).1 >= PERMITS / DOUBTFUL_PART);
    }

    #[test]
    fn a_permit_comes_back_and_a_single_permit_is_given_to_everyone() {
        let (shares, user) = (Shares::new(1), UserId::generate());
        assert_eq!(shares.offer(0), Offer { doubtful: true, ..Offer::default() });
        let share = shares.hold(user, true);
        let full = vec![user.uuid()];
        assert_eq!(shares.offer(0), Offer { full: full.clone(), doubtful_full: full, doubtful: false });
        drop(share);
        assert_eq!(shares.offer(0), Offer { doubtful: true, ..Offer::default() });
    }
}
