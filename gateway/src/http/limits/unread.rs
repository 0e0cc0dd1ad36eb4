//! Bounds the bytes of large answers that the clients of one account have not read yet, in this process. The
//! answers of clients that do not read stay in memory until the kernel closes their connections (see
//! `http::server`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::UserId;

/// Smaller answers are not counted: the rate limit bounds their number.
pub const LARGE: usize = 64 << 10;

/// Unread bytes of one account: eight pages of the largest size. One answer alone may have more.
const MOST: usize = 8 << 20;

/// After this time another answer may fit.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The bytes of large answers in flight, by account.
#[derive(Clone, Default)]
pub struct UnreadAnswers(Arc<Mutex<HashMap<UserId, usize>>>);

/// The account has too many unread bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyUnread {
    /// In seconds.
    pub retry_after: u64,
}

/// Counts an answer until it is dropped.
#[derive(Debug)]
pub struct Unread {
    all: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
    bytes: usize,
}

impl UnreadAnswers {
    /// Refuses a request of an account that has no room for any answer, before the request does something.
    pub fn check(&self, user: UserId) -> Result<(), TooManyUnread> {
        let held = self.lock().get(&user).copied().unwrap_or_default();
        if held < MOST { Ok(()) } else { Err(refused()) }
    }

    /// Counts an answer of the account.
    pub fn take(&self, user: UserId, bytes: usize) -> Result<Unread, TooManyUnread> {
        let mut all = self.lock();
        let before = all.get(&user).copied().unwrap_or_default();
        if before > 0 && before.saturating_add(bytes) > MOST {
            return Err(refused());
        }
        Ok(self.add(&mut all, user, bytes))
    }

    /// Counts an answer that must be given.
    #[must_use]
    pub fn count(&self, user: UserId, bytes: usize) -> Unread {
        self.add(&mut self.lock(), user, bytes)
    }

    fn add(&self, all: &mut HashMap<UserId, usize>, user: UserId, bytes: usize) -> Unread {
        let sum = all.entry(user).or_default();
        *sum = sum.saturating_add(bytes);
        Unread { all: Arc::clone(&self.0), user, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused() -> TooManyUnread {
    metrics::counter!("capi_requests_rate_limited_total", "limiter" => "unread_answers").increment(1);
    TooManyUnread { retry_after: RETRY_AFTER_SECONDS }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = all.get_mut(&self.user) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                all.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_bounded_number_of_unread_bytes() {
        let (answers, user, other) = (UnreadAnswers::default(), UserId::generate(), UserId::generate());
        let mut held: Vec<_> = (0..8).map(|_| answers.take(user, MOST / 8).unwrap()).collect();
        assert_eq!(answers.take(user, LARGE).unwrap_err().retry_after, RETRY_AFTER_SECONDS);
        drop(answers.take(other, LARGE).unwrap());
        held.pop();
        held.push(answers.take(user, MOST / 8).unwrap());
        assert!(answers.take(user, LARGE).is_err());
        held.clear();
        let alone = answers.take(user, 3 * MOST).unwrap();
        assert!(answers.take(user, LARGE).is_err(), "one answer may be larger, if it is alone");
        let answers_to_forms = (answers.count(user, MOST), alone);
        assert!(answers.check(user).is_err() && answers.check(other).is_ok(), "no request is worked on");
        drop(answers_to_forms);
        answers.check(user).unwrap();
        assert!(answers.0.lock().unwrap().is_empty(), "nothing is kept of an account without answers");
    }
}
