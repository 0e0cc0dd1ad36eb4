//! The flood guard in front of the database, in this process alone. It is not the rate limit: it admits ten
//! times the largest plan's rate. It only keeps clients that ignore every 429, or that guess keys, from
//! costing statements.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use gateway_domain::accounts::KeyHash;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

/// The admitted rate, as a multiple of the largest plan's rate.
const FACTOR: u32 = 10;
/// The remembered good keys and blocked networks. The least used entries are dropped.
const REMEMBERED: usize = 10_000;
/// How often entries that limit nothing are removed.
pub const PRUNE_EVERY: Duration = Duration::from_secs(10);

pub struct FloodGuard {
    keys: DefaultKeyedRateLimiter<KeyHash>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    blocked: Cache<IpAddr, Instant>,
    good: Cache<KeyHash, ()>,
    clock: DefaultClock,
}

/// The request is refused; a retry may succeed after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood(pub Duration);

impl FloodGuard {
    /// `requests_per_minute` is the rate of the largest plan.
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

    /// Whether the database may be asked about this key. A key that was good recently is not blocked with its
    /// network: behind an unlisted proxy all clients share one address.
    pub fn check(&self, key: &KeyHash, from: IpAddr, now: Instant) -> Result<(), Flood> {
        let until = self.blocked.get(&network(from)).filter(|until| *until > now);
        if let Some(until) = until
            && self.good.get(key).is_none()
        {
            return Err(Flood(until - now));
        }
        self.keys.check_key(key).map_err(|until| Flood(until.wait_time_from(self.clock.now())))
    }

    /// Records that the key exists.
    pub fn succeeded(&self, key: &KeyHash) {
        if self.good.get(key).is_none() {
            self.good.insert(*key, ());
        }
    }

    /// Records that a well-formed key was not found, which cost a statement.
    pub fn failed(&self, from: IpAddr, now: Instant) {
        let network = network(from);
        if let Err(until) = self.failures.check_key(&network) {
            self.blocked.insert(network, now + until.wait_time_from(self.clock.now()));
        }
    }

    /// Removes entries that limit nothing any more. Without it the tables would grow with every guessed key.
    pub fn prune(&self) {
        self.keys.retain_recent();
        self.keys.shrink_to_fit();
        self.failures.retain_recent();
        self.failures.shrink_to_fit();
    }
}

/// The network of an address: a host has a whole /64 of IPv6 addresses.
pub(super) fn network(address: IpAddr) -> IpAddr {
    prefix(address, 64)
}

/// The site of an address: one customer of a provider may have a whole /48, which is 65,536 networks.
pub(super) fn site(address: IpAddr) -> IpAddr {
    prefix(address, 48)
}

/// The first bits of an IPv6 address. IPv4 addresses stay whole.
fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(bits).unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !rest))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_admitted_at_ten_times_the_largest_rate() {
        let (guard, now, here) = (FloodGuard::new(3), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let admitted = (0..100).filter(|_| guard.check(&[1; 32], here, now).is_ok()).count();
        assert_eq!(admitted, 30);
        assert!(guard.check(&[2; 32], here, now).is_ok(), "each key has its own limit");
    }

    #[test]
    fn a_network_that_guesses_keys_is_blocked_but_its_good_keys_are_not() {
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
        guard.prune();
    }
}
