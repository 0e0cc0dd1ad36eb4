//! Refusals of the rate limit, remembered for a moment: a caller that does not wait costs next to no statements. Not for
//! the whole time until a place is free, since meanwhile the plan may change, or the key be revoked.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::{KeyHash, Window};

/// Keys; the least used are forgotten, and asked for again.
const REMEMBERED: usize = 10_000;

/// See the module.
pub struct Refusals(Cache<KeyHash, (Instant, Window)>);

/// How long a refusal stands without asking again.
const STANDS: Duration = Duration::from_secs(5);

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Refusals {
    /// The window as it is for a key that was refused and has not waited yet.
    #[must_use]
    pub fn standing(&self, key: &KeyHash, now: Instant) -> Option<Window> {
        let (since, window) = self.0.get(key)?;
        let age = now.saturating_duration_since(since);
        let free_in = window.free_in - age.as_secs_f64();
        (age < STANDS && free_in > 0.0).then_some(Window { free_in, ..window })
    }

    /// Notes a refusal that was given at `now`.
    pub fn note(&self, key: &KeyHash, window: Window, now: Instant) {
        self.0.insert(*key, (now, window));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_for_a_moment_and_never_longer_than_the_window_is_full() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&[1; 32], Window { limit: 30, remaining: 0, free_in: 7.5 }, now);
        let later = refusals.standing(&[1; 32], now + Duration::from_secs(3)).unwrap();
        assert_eq!((later.retry_after(), later.limit), (5, 30));
        assert_eq!(refusals.standing(&[1; 32], now + STANDS), None);
        refusals.note(&[1; 32], Window { limit: 30, remaining: 0, free_in: 2.0 }, now);
        assert_eq!(refusals.standing(&[1; 32], now + Duration::from_secs(2)), None);
        assert_eq!(refusals.standing(&[2; 32], now), None);
    }
}
