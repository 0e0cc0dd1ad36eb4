//! Remembers refusals of the rate limit for a few seconds, so that a client that does not wait costs few
//! statements. Not until a place is free: the plan may change, or the key may be revoked, before that.

use std::time::{Duration, Instant};

use gateway_domain::accounts::KeyHash;
use gateway_domain::accounts::rate_limit::Window;
use quick_cache::sync::Cache;

/// The remembered keys. The least used ones are dropped.
const REMEMBERED: usize = 10_000;

pub struct Refusals(Cache<KeyHash, (Instant, Window)>);

/// How long a refusal is repeated without a statement.
const KEPT: Duration = Duration::from_secs(5);

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Refusals {
    /// The window of a key whose refusal is still in force.
    #[must_use]
    pub fn current(&self, key: &KeyHash, now: Instant) -> Option<Window> {
        let (since, window) = self.0.get(key)?;
        let age = now.saturating_duration_since(since);
        let free_in = window.free_in - age.as_secs_f64();
        (age < KEPT && free_in > 0.0).then_some(Window { free_in, ..window })
    }

    /// Remembers a refusal that was given at `now`.
    pub fn record(&self, key: &KeyHash, window: Window, now: Instant) {
        self.0.insert(*key, (now, window));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_kept_for_seconds_and_never_longer_than_the_window_is_full() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.record(&[1; 32], Window { limit: 30, remaining: 0, free_in: 7.5 }, now);
        let later = refusals.current(&[1; 32], now + Duration::from_secs(3)).unwrap();
        assert_eq!((later.retry_after(), later.limit), (5, 30));
        assert_eq!(refusals.current(&[1; 32], now + KEPT), None);
        refusals.record(&[1; 32], Window { limit: 30, remaining: 0, free_in: 2.0 }, now);
        assert_eq!(refusals.current(&[1; 32], now + Duration::from_secs(2)), None);
        assert_eq!(refusals.current(&[2; 32], now), None);
    }
}
