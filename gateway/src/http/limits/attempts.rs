//! Limits attempts to sign in and to change a password, per account and per network, and attempts to sign
//! up per network and per site (a /48 of IPv6), in this process. An attempt counts before the password is
//! verified, so concurrent guesses count too.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use gateway_domain::accounts::users::normal_email;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::ids::UserId;

use super::flood::{Flood, network, site};

/// A burst, and the time until one more attempt is free: for one account from one network, for one account
/// from all networks, and for one network. The second limit is wide: an attacker who wants to lock a user out
/// needs many networks.
const PER_ACCOUNT_AND_NETWORK: (u32, Duration) = (10, Duration::from_secs(30));
const PER_ACCOUNT: (u32, Duration) = (100, Duration::from_secs(5));
const PER_NETWORK: (u32, Duration) = (30, Duration::from_secs(10));
/// Its own count: accounts that are created from a network must not lock its users out. A class in one room
/// can sign up at once, and each attempt costs a password hash.
const SIGN_UPS_PER_NETWORK: (u32, Duration) = (20, Duration::from_secs(30));
/// Sites may be large, like a university. So it is wider, and there is none for sign-ins: one hostile client
/// would lock out a site.
const SIGN_UPS_PER_SITE: (u32, Duration) = (100, Duration::from_secs(6));

pub struct Attempts {
    pairs: DefaultKeyedRateLimiter<(String, IpAddr)>,
    accounts: DefaultKeyedRateLimiter<String>,
    networks: DefaultKeyedRateLimiter<IpAddr>,
    sign_ups: DefaultKeyedRateLimiter<IpAddr>,
    sign_ups_of_sites: DefaultKeyedRateLimiter<IpAddr>,
    /// Attempts of users who are signed in.
    signed_in: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            pairs: limiter(PER_ACCOUNT_AND_NETWORK),
            accounts: limiter(PER_ACCOUNT),
            networks: limiter(PER_NETWORK),
            sign_ups: limiter(SIGN_UPS_PER_NETWORK),
            sign_ups_of_sites: limiter(SIGN_UPS_PER_SITE),
            signed_in: limiter(PER_ACCOUNT_AND_NETWORK),
            clock: DefaultClock::default(),
        }
    }
}

impl Attempts {
    /// Counts an attempt to sign in to the account with this email from this address.
    pub fn take_sign_in(&self, email: &str, from: IpAddr) -> Result<(), Flood> {
        let from = network(from);
        self.networks.check_key(&from).map_err(|until| self.wait(&until))?;
        // Cut to the longest possible email.
        let account: String = normal_email(email).chars().take(254).collect();
        self.pairs.check_key(&(account.clone(), from)).map_err(|until| self.wait(&until))?;
        self.accounts.check_key(&account).map_err(|until| self.wait(&until))
    }

    /// Counts an attempt to create an account from this address.
    pub fn take_sign_up(&self, from: IpAddr) -> Result<(), Flood> {
        self.sign_ups.check_key(&network(from)).map_err(|until| self.wait(&until))?;
        self.sign_ups_of_sites.check_key(&site(from)).map_err(|until| self.wait(&until))
    }

    /// Counts an attempt of a user who is signed in. Attempts of others for that account do not count here.
    pub fn take_signed_in(&self, user: UserId) -> Result<(), Flood> {
        self.signed_in.check_key(&user).map_err(|until| self.wait(&until))
    }

    fn wait(&self, until: &governor::NotUntil<<DefaultClock as Clock>::Instant>) -> Flood {
        Flood(until.wait_time_from(self.clock.now()))
    }

    /// Removes entries that limit nothing any more.
    pub fn prune(&self) {
        prune_limiter(&self.pairs);
        prune_limiter(&self.accounts);
        prune_limiter(&self.networks);
        prune_limiter(&self.sign_ups);
        prune_limiter(&self.sign_ups_of_sites);
        prune_limiter(&self.signed_in);
    }
}

fn limiter<Key: Hash + Eq + Clone>((at_once, each): (u32, Duration)) -> DefaultKeyedRateLimiter<Key> {
    let quota = Quota::with_period(each).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
    RateLimiter::keyed(quota.allow_burst(NonZeroU32::new(at_once).unwrap_or(NonZeroU32::MIN)))
}

fn prune_limiter<Key: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<Key>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_limited_per_account_and_per_network() {
        let (attempts, here) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]));
        let elsewhere = |n: u8| IpAddr::from([198, 51, 100, n]);
        let taken = (0..20).filter(|_| attempts.take_sign_in("Ada@example.com", here).is_ok()).count();
        assert_eq!(taken, 10, "one account from one address");
        assert!(attempts.take_sign_in(" ada@EXAMPLE.com", here).is_err(), "the same account");
        assert!(
            attempts.take_sign_in("ada@example.com", elsewhere(0)).is_ok(),
            "its owner signs in from another network"
        );
        let taken =
            (1..250).filter(|n| attempts.take_sign_in("ada@example.com", elsewhere(*n)).is_ok()).count();
        assert_eq!(taken, 89, "one account from everywhere");
        let taken = (0..50)
            .filter(|n| attempts.take_sign_in(&format!("{n}@example.com"), elsewhere(251)).is_ok())
            .count();
        assert_eq!(taken, 30, "many accounts from one address");
        let user = UserId::generate();
        assert_eq!((0..20).filter(|_| attempts.take_signed_in(user).is_ok()).count(), 10);
        attempts.prune();
    }

    #[test]
    fn sign_ups_have_their_own_count() {
        let (attempts, here) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!((0..29).filter(|_| attempts.take_sign_up(here).is_ok()).count(), 20);
        assert!(attempts.take_sign_in("ada@example.com", here).is_ok(), "the owner is not locked out");
        assert!(attempts.take_sign_up(IpAddr::from([192, 0, 2, 2])).is_ok(), "nor is another network");
    }

    #[test]
    fn a_site_has_few_sign_ups_over_all_its_networks() {
        let attempts = Attempts::default();
        let host = |site: u16, network: u16| IpAddr::from([0x2001, 0xdb8, site, network, 0, 0, 0, 1]);
        let taken = (0..1000).filter(|n| attempts.take_sign_up(host(1, *n)).is_ok()).count();
        assert!((100..110).contains(&taken), "{taken}");
        assert!(attempts.take_sign_up(host(2, 0)).is_ok(), "another site");
        assert!(attempts.take_sign_in("ada@example.com", host(1, 0)).is_ok(), "sign-ins go on");
        attempts.prune();
    }
}
