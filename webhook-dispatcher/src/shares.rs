//! Counts the permits that each user's deliveries hold. The claim divides the others, so that slow receivers
//! of one user leave room for all others: `claim_deliveries_v3` has the rules. A lane is doubtful until its
//! host answers, and again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::{LaneId, UserId};
use uuid::Uuid;

/// Requests that a lane whose host works may have in any case. [`crate::claims::LANE_SHARE`] has more.
pub const NARROW_SHARE: usize = 4;

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
    /// The lanes of the claim whose hosts answered this process a moment ago. `None`: all.
    pub answering: Option<Vec<LaneId>>,
    /// How many requests lanes may begin beyond their first [`NARROW_SHARE`], all together.
    pub wide: i32,
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
        let wide = count(most_wide(usize::try_from(permits).unwrap_or_default()));
        Self { permits, wide, ..Self::default() }
    }
}

/// A quarter of the permits, without those of one more lane.
const fn most_wide(permits: usize) -> usize {
    (permits / 4).saturating_sub(NARROW_SHARE)
}

fn count(permits: usize) -> i32 {
    i32::try_from(permits).unwrap_or(i32::MAX)
}

/// What the deliveries of a process hold.
#[derive(Default)]
struct AllHeld {
    users: HashMap<UserId, Held>,
    /// The permits of each lane whose host works.
    lanes: HashMap<LaneId, usize>,
}

impl AllHeld {
    fn wide(&self) -> usize {
        self.lanes.values().map(|held| held.saturating_sub(NARROW_SHARE)).sum()
    }
}

pub struct Shares {
    permits: usize,
    held: Mutex<AllHeld>,
}

/// Holds a permit for a user until it is dropped.
pub struct Share {
    shares: Arc<Shares>,
    user: UserId,
    /// `None`: its host may not work.
    lane: Option<LaneId>,
}

impl Shares {
    #[must_use]
    pub fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { permits, held: Mutex::default() })
    }

    /// What the next claim divides.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let held = self.lock();
        Offer {
            permits: count(self.permits),
            users: held.users.keys().map(|user| user.uuid()).collect(),
            held: held.users.values().map(|held| count(held.all)).collect(),
            doubtful: held.users.values().map(|held| count(held.doubtful)).collect(),
            answering: None,
            wide: count(most_wide(self.permits).saturating_sub(held.wide())),
        }
    }

    /// Whether all permits but `own` are in use.
    #[must_use]
    pub fn are_used_up(&self, own: usize) -> bool {
        self.lock().users.values().map(|held| held.all).sum::<usize>() + own >= self.permits
    }

    #[must_use]
    pub fn hold(self: &Arc<Self>, user: UserId, lane: LaneId, doubtful: bool) -> Share {
        let mut held = self.lock();
        let of_user = held.users.entry(user).or_default();
        of_user.all += 1;
        of_user.doubtful += usize::from(doubtful);
        if !doubtful {
            *held.lanes.entry(lane).or_default() += 1;
        }
        Share { shares: Arc::clone(self), user, lane: (!doubtful).then_some(lane) }
    }

    fn lock(&self) -> MutexGuard<'_, AllHeld> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        if let Some(of_user) = held.users.get_mut(&self.user) {
            of_user.all -= 1;
            of_user.doubtful -= usize::from(self.lane.is_none());
            if of_user.all == 0 {
                held.users.remove(&self.user);
            }
        }
        if let Some(lane) = self.lane
            && let Some(of_lane) = held.lanes.get_mut(&lane)
        {
            *of_lane -= 1;
            if *of_lane == 0 {
                held.lanes.remove(&lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back_when_its_share_is_dropped() {
        let (shares, user, lane) = (Shares::new(3), UserId::generate(), LaneId::generate());
        assert_eq!(shares.offer(), Offer::free(3));
        let held = [shares.hold(user, lane, true), shares.hold(user, lane, false)];
        let users = vec![user.uuid()];
        let both = Offer { permits: 3, users, held: vec![2], doubtful: vec![1], answering: None, wide: 0 };
        assert_eq!(shares.offer(), both);
        assert!(shares.are_used_up(1) && !shares.are_used_up(0));
        drop(held);
        assert_eq!(shares.offer(), Offer::free(3));
    }

    #[test]
    fn lanes_share_what_they_have_beyond_their_first_requests() {
        let (shares, user) = (Shares::new(64), UserId::generate());
        let lanes = [LaneId::generate(), LaneId::generate()];
        let mut held: Vec<_> = (0..9).map(|_| shares.hold(user, lanes[0], false)).collect();
        held.extend((0..6).map(|_| shares.hold(user, lanes[1], false)));
        assert_eq!((Offer::free(64).wide, shares.offer().wide), (12, 12 - 5 - 2));
        drop(held);
        assert_eq!(shares.offer(), Offer::free(64));
    }
}
