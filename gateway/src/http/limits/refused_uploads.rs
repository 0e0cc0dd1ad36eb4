//! Bounds the bytes of uploads that were refused after the store had them, for each account, in this process.
//! They do not count to the account's request bytes. Without a bound, wrong forms could write to the store's
//! disk without end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::ids::UserId;

use super::Flood;

const DAY: Duration = Duration::from_hours(24);

/// Refused bytes by account. They are forgotten evenly over a day.
#[derive(Default)]
pub struct RefusedUploads(Mutex<HashMap<UserId, Refused>>);

#[derive(Clone, Copy)]
struct Refused {
    bytes: f64,
    /// The request bytes that the plan allows in a day.
    limit: f64,
    at: Instant,
}

impl Refused {
    fn now(mut self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64() / DAY.as_secs_f64();
        self.bytes = (self.bytes - self.limit * passed).max(0.0);
        self.at = now;
        self
    }
}

impl RefusedUploads {
    /// Refuses an upload of an account that had as many bytes refused as its plan allows in a day.
    pub fn check(&self, user: UserId, now: Instant) -> Result<(), Flood> {
        let Some(refused) = self.lock().get(&user).map(|refused| refused.now(now)) else { return Ok(()) };
        let over = refused.bytes - refused.limit;
        if over < 0.0 {
            return Ok(());
        }
        let share = (over / refused.limit).clamp(0.0, 1.0);
        Err(Flood(DAY.mul_f64(share) + Duration::from_secs(1)))
    }

    /// Counts a refused upload.
    #[expect(clippy::cast_precision_loss, reason = "a few bytes of many make no difference")]
    pub fn add(&self, user: UserId, bytes: u64, limit: u64, now: Instant) {
        let mut all = self.lock();
        let limit = limit.max(1) as f64;
        let refused = all.entry(user).or_insert(Refused { bytes: 0.0, limit, at: now });
        *refused = Refused { limit, ..*refused }.now(now);
        refused.bytes += bytes as f64;
    }

    /// Removes accounts whose bytes are forgotten.
    pub fn prune(&self, now: Instant) {
        self.lock().retain(|_, refused| refused.now(now).bytes > 0.0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_bytes_have_a_bound_and_are_forgotten_over_a_day() {
        let (uploads, user, other, now) =
            (RefusedUploads::default(), UserId::generate(), UserId::generate(), Instant::now());
        for _ in 0..4 {
            uploads.check(user, now).unwrap();
            uploads.add(user, 30, 100, now);
        }
        let Flood(wait) = uploads.check(user, now).unwrap_err();
        assert!(wait > DAY / 6 && wait < DAY / 4, "{wait:?}");
        uploads.check(other, now).unwrap();
        uploads.check(user, now + wait).unwrap();
        uploads.prune(now + wait);
        assert!(!uploads.lock().is_empty());
        uploads.prune(now + DAY * 2);
        assert!(uploads.lock().is_empty(), "nothing is kept of an account without refusals");
    }
}
