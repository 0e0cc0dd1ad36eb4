//! Refusals of the rate limit, kept until their Retry-After: a caller that does not wait costs no statement. The window
//! is the database's; until the time it gave, no place in it can become free.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::{KeyHash, Window};

/// Keys; the least used are forgotten, and asked for again.
const REMEMBERED: usize = 10_000;

/// See the module.
pub struct Refusals(Cache<KeyHash, (Instant, Window)>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Refusals {
    /// The window as it is for a key that was refused and has not waited yet.
    #[must_use]
    pub fn standing(&self, key: &KeyHash, now: Instant) -> Option<Window> {
        let (until, window) = self.0.get(key)?;
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Window { free_in: left.as_secs_f64(), ..window })
    }

    /// Notes a refusal that was given at `now`.
    pub fn note(&self, key: &KeyHash, window: Window, now: Instant) {
        self.0.insert(*key, (now + Duration::from_secs_f64(window.free_in.clamp(0.0, 60.0)), window));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_until_a_place_is_free() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&[1; 32], Window { limit: 30, remaining: 0, free_in: 7.5 }, now);
        let later = refusals.standing(&[1; 32], now + Duration::from_secs(6)).unwrap();
        assert_eq!((later.retry_after(), later.limit), (2, 30));
        assert_eq!(refusals.standing(&[1; 32], now + Duration::from_millis(7500)), None);
        assert_eq!(refusals.standing(&[2; 32], now), None);
    }
}
