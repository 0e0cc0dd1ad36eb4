//! Attempts to sign in, up, or to change a password: so many per account and per address, in this process. Counted before
//! the password is looked at, so that guesses at once count as well.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::flood::{Flood, network};

/// At once, and then one in so many seconds.
const PER_ACCOUNT: (u32, Duration) = (10, Duration::from_secs(30));
const PER_ADDRESS: (u32, Duration) = (30, Duration::from_secs(10));

/// See the module.
pub struct Attempts {
    accounts: DefaultKeyedRateLimiter<String>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            accounts: limiter(PER_ACCOUNT),
            addresses: limiter(PER_ADDRESS),
            clock: DefaultClock::default(),
        }
    }
}

impl Attempts {
    /// One more for the account of this email, from this address.
    pub fn take(&self, email: &str, from: IpAddr) -> Result<(), Flood> {
        let wait = |until: governor::NotUntil<_>| Flood(until.wait_time_from(self.clock.now()));
        self.addresses.check_key(&network(from)).map_err(wait)?;
        // As the database compares them; cut, since nobody has a longer one.
        let account: String = email.trim().to_lowercase().chars().take(254).collect();
        self.accounts.check_key(&account).map_err(wait)
    }

    /// Forgets what is no longer limited.
    pub fn tidy(&self) {
        tidied(&self.accounts);
        tidied(&self.addresses);
    }
}

fn limiter<Key: Hash + Eq + Clone>((at_once, each): (u32, Duration)) -> DefaultKeyedRateLimiter<Key> {
    let quota = Quota::with_period(each).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
    RateLimiter::keyed(quota.allow_burst(NonZeroU32::new(at_once).unwrap_or(NonZeroU32::MIN)))
}

fn tidied<Key: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<Key>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_and_an_address_have_so_many_attempts() {
        let (attempts, here) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]));
        let elsewhere = |n: u8| IpAddr::from([198, 51, 100, n]);
        let taken = (0..20).filter(|n| attempts.take("Ada@example.com", elsewhere(*n)).is_ok()).count();
        assert_eq!(taken, 10, "one account from everywhere");
        assert!(attempts.take(" ada@EXAMPLE.com", here).is_err(), "the same account");
        let taken = (0..50).filter(|n| attempts.take(&format!("{n}@example.com"), here).is_ok()).count();
        assert_eq!(taken, 29, "many accounts from one address");
        attempts.tidy();
    }
}
