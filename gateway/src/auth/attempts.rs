//! Attempts to sign in, up, or to change a password: so many per account and per address, in this process. Counted before
//! the password is looked at, so that guesses at once count as well.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::ids::UserId;

use super::flood::{Flood, network};

/// At once, and then one in so many seconds: of an account from one network, of an account from everywhere, from one network.
/// The second is wide: whoever only wants to keep somebody out has to spend many addresses on it.
const PER_ACCOUNT_AND_NETWORK: (u32, Duration) = (10, Duration::from_secs(30));
const PER_ACCOUNT: (u32, Duration) = (100, Duration::from_secs(5));
const PER_NETWORK: (u32, Duration) = (30, Duration::from_secs(10));

/// See the module.
pub struct Attempts {
    pairs: DefaultKeyedRateLimiter<(String, IpAddr)>,
    accounts: DefaultKeyedRateLimiter<String>,
    networks: DefaultKeyedRateLimiter<IpAddr>,
    /// Of those who are signed in.
    inside: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            pairs: limiter(PER_ACCOUNT_AND_NETWORK),
            accounts: limiter(PER_ACCOUNT),
            networks: limiter(PER_NETWORK),
            inside: limiter(PER_ACCOUNT_AND_NETWORK),
            clock: DefaultClock::default(),
        }
    }
}

impl Attempts {
    /// One more for the account of this email, from this address.
    pub fn take(&self, email: &str, from: IpAddr) -> Result<(), Flood> {
        let from = network(from);
        self.networks.check_key(&from).map_err(|until| self.wait(&until))?;
        // As the database compares them; cut, since nobody has a longer one.
        let account: String = email.trim().to_lowercase().chars().take(254).collect();
        self.pairs.check_key(&(account.clone(), from)).map_err(|until| self.wait(&until))?;
        self.accounts.check_key(&account).map_err(|until| self.wait(&until))
    }

    /// One more of somebody who is signed in: what others try in his name does not count here.
    pub fn take_inside(&self, user: UserId) -> Result<(), Flood> {
        self.inside.check_key(&user).map_err(|until| self.wait(&until))
    }

    fn wait(&self, until: &governor::NotUntil<<DefaultClock as Clock>::Instant>) -> Flood {
        Flood(until.wait_time_from(self.clock.now()))
    }

    /// Forgets what is no longer limited.
    pub fn tidy(&self) {
        tidied(&self.pairs);
        tidied(&self.accounts);
        tidied(&self.networks);
        tidied(&self.inside);
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
        let taken = (0..20).filter(|_| attempts.take("Ada@example.com", here).is_ok()).count();
        assert_eq!(taken, 10, "one account from one address");
        assert!(attempts.take(" ada@EXAMPLE.com", here).is_err(), "the same account");
        assert!(attempts.take("ada@example.com", elsewhere(0)).is_ok(), "its owner is somewhere else");
        let taken = (1..250).filter(|n| attempts.take("ada@example.com", elsewhere(*n)).is_ok()).count();
        assert_eq!(taken, 89, "one account from everywhere");
        let taken =
            (0..50).filter(|n| attempts.take(&format!("{n}@example.com"), elsewhere(251)).is_ok()).count();
        assert_eq!(taken, 30, "many accounts from one address");
        let user = UserId::generate();
        assert_eq!((0..20).filter(|_| attempts.take_inside(user).is_ok()).count(), 10);
        attempts.tidy();
    }
}
