//! The flood guard in front of the database, in this process alone. It is not the rate limit: it lets ten times the largest
//! plan's rate through, and only keeps a caller that ignores every 429, or that tries keys, from costing statements.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

use super::KeyHash;

/// Over the largest plan's rate.
const FACTOR: u32 = 10;
/// Keys that were admitted lately, and addresses that may try no more; the least used are forgotten.
const REMEMBERED: usize = 10_000;
/// How often what is no longer limited is forgotten.
pub const TIDY_EVERY: Duration = Duration::from_secs(10);

/// See the module.
pub struct FloodGuard {
    keys: DefaultKeyedRateLimiter<KeyHash>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    blocked: Cache<IpAddr, Instant>,
    good: Cache<KeyHash, ()>,
    clock: DefaultClock,
}

/// Too much; worth trying again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood(pub Duration);

impl FloodGuard {
    /// For plans of which the largest has this rate.
    #[must_use]
    pub fn new(requests_per_minute: u32) -> Self {
        let most = requests_per_minute.max(1).saturating_mul(FACTOR);
        let quota = Quota::per_minute(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN));
        Self {
            keys: RateLimiter::keyed(quota),
            failures: RateLimiter::keyed(quota),
            blocked: Cache::new(REMEMBERED),
            good: Cache::new(REMEMBERED),
            clock: DefaultClock::default(),
        }
    }

    /// Whether the database may be asked about this key. Keys that were good lately do not suffer from what else comes
    /// from their address: behind an unlisted proxy that is everybody's.
    pub fn check(&self, key: &KeyHash, from: IpAddr, now: Instant) -> Result<(), Flood> {
        let until = self.blocked.get(&network(from)).filter(|until| *until > now);
        if let Some(until) = until
            && self.good.get(key).is_none()
        {
            return Err(Flood(until - now));
        }
        self.keys.check_key(key).map_err(|until| Flood(until.wait_time_from(self.clock.now())))
    }

    /// The key exists.
    pub fn succeeded(&self, key: &KeyHash) {
        if self.good.get(key).is_none() {
            self.good.insert(*key, ());
        }
    }

    /// A key that looked right was not found: that cost a statement.
    pub fn failed(&self, from: IpAddr, now: Instant) {
        let network = network(from);
        if let Err(until) = self.failures.check_key(&network) {
            self.blocked.insert(network, now + until.wait_time_from(self.clock.now()));
        }
    }

    /// Forgets what is no longer limited; without it the tables would grow with every key that is tried.
    pub fn tidy(&self) {
        self.keys.retain_recent();
        self.keys.shrink_to_fit();
        self.failures.retain_recent();
        self.failures.shrink_to_fit();
    }
}

/// One host has a whole /64 of IPv6 addresses.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_do_ten_times_the_largest_rate_and_no_more() {
        let (guard, now, here) = (FloodGuard::new(3), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let admitted = (0..100).filter(|_| guard.check(&[1; 32], here, now).is_ok()).count();
        assert_eq!(admitted, 30);
        assert!(guard.check(&[2; 32], here, now).is_ok(), "each key for itself");
    }

    #[test]
    fn an_address_that_tries_keys_is_stopped_and_its_neighbours_good_keys_are_not() {
        let (guard, now) = (FloodGuard::new(1), Instant::now());
        let [here, next] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
        guard.succeeded(&[1; 32]);
        for tried in 10..21 {
            assert!(guard.check(&[tried; 32], here, now).is_ok());
            guard.failed(here, now);
        }
        let Flood(wait) = guard.check(&[21; 32], next, now).unwrap_err();
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        assert!(guard.check(&[1; 32], here, now).is_ok());
        assert!(guard.check(&[22; 32], "2001:db8:1::1".parse().unwrap(), now).is_ok());
        guard.tidy();
    }
}
