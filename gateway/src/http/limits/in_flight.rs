//! Bounds what the requests in flight hold in this process: the part of one account, and all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::UserId;

/// A bounded amount, shared by the accounts.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The label of the metric.
    of: &'static str,
    most_of_account: usize,
    most_of_all: usize,
    by_user: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// Who has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuchInFlight {
    Account,
    Gateway,
}

/// A part of the amount. Dropping it gives it back.
#[derive(Debug)]
pub struct InFlightShare {
    by_user: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
    amount: usize,
}

impl InFlight {
    /// Counts uploads. Those of one account are few, because each writes to the store before the creating
    /// statement can check the account's quotas. A client's parallel uploads rarely are more. Each holds two
    /// parts of a file (see `shared::storage`) and the fields of its form, so all hold less than 200 MiB.
    #[must_use]
    pub fn uploads() -> Self {
        Self::new("uploads", 8, 128)
    }

    /// Counts the bytes of memory that parsed JSON bodies take.
    #[must_use]
    pub fn json() -> Self {
        Self::new("json", 32 << 20, 128 << 20)
    }

    /// Counts reports. A few accounts at once share few connections; each of the others waits for less than a
    /// second.
    #[must_use]
    pub fn reports() -> Self {
        Self::new("reports", 1, 8)
    }

    fn new(of: &'static str, most_of_account: usize, most_of_all: usize) -> Self {
        Self { of, most_of_account, most_of_all, by_user: Arc::default() }
    }

    /// Takes a share for the account.
    pub fn take(&self, user: UserId, amount: usize) -> Result<InFlightShare, TooMuchInFlight> {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_user.get(&user).copied().unwrap_or_default();
        let (too_much, limit) = if own.saturating_add(amount) > self.most_of_account {
            (TooMuchInFlight::Account, "account")
        } else if by_user.values().sum::<usize>().saturating_add(amount) > self.most_of_all {
            (TooMuchInFlight::Gateway, "gateway")
        } else {
            by_user.insert(user, own + amount);
            return Ok(InFlightShare { by_user: Arc::clone(&self.by_user), user, amount });
        };
        metrics::counter!("capi_in_flight_refusals_total", "of" => self.of, "limit" => limit).increment(1);
        Err(too_much)
    }
}

impl Drop for InFlightShare {
    fn drop(&mut self) {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(amount) = by_user.get_mut(&self.user) {
            *amount -= self.amount;
            if *amount == 0 {
                by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_makes_room_for_its_account_alone() {
        let (uploads, busy, other) = (InFlight::uploads(), UserId::generate(), UserId::generate());
        let mut begun: Vec<_> = (0..8).map(|_| uploads.take(busy, 1).unwrap()).collect();
        assert_eq!(uploads.take(busy, 1).unwrap_err(), TooMuchInFlight::Account);
        assert!(uploads.take(other, 1).is_ok());
        begun.pop();
        assert!(uploads.take(busy, 1).is_ok());
        begun.clear();
        assert!(uploads.by_user.lock().unwrap().is_empty(), "nothing of an idle account stays");
    }

    #[test]
    fn all_accounts_together_have_a_limit() {
        let json = InFlight::json();
        let mut begun: Vec<_> = (0..4).map(|_| json.take(UserId::generate(), 32 << 20).unwrap()).collect();
        assert_eq!(json.take(UserId::generate(), 1).unwrap_err(), TooMuchInFlight::Gateway);
        begun.pop();
        assert!(json.take(UserId::generate(), 32 << 20).is_ok());
    }
}
