//! Notices proxies that CAPI_TRUSTED_PROXIES lacks. Behind such a proxy all clients have one address, and
//! share the limits of that address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::ids::UserId;
use shared::net::ip_policy::is_public;

/// The log says it at most this often: every request may come through the proxy.
const EVERY: Duration = Duration::from_mins(10);
/// So many users of one private address are no family, but everyone behind a proxy.
const MANY_USERS: usize = 10;
/// Private addresses whose users are remembered. Beyond it, none is added.
const MAX_ADDRESSES: usize = 1000;

#[derive(Default)]
pub struct UnlistedProxies(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    said: Option<Instant>,
    /// The users who signed in from each private address, up to [`MANY_USERS`].
    users: HashMap<IpAddr, HashSet<UserId>>,
}

impl UnlistedProxies {
    /// A request from this address says that it was forwarded, and the address is not listed.
    pub fn forwarded(&self, proxy: IpAddr, now: Instant) {
        metrics::counter!("capi_unlisted_proxy_requests_total").increment(1);
        if self.may_say(now) {
            tracing::warn!(
                %proxy,
                "a request was forwarded by a proxy that CAPI_TRUSTED_PROXIES does not list; if the proxy is \
                 yours, list its address"
            );
        }
    }

    /// A user signed in from this address.
    pub fn signed_in(&self, from: IpAddr, user: UserId, now: Instant) {
        if self.has_many(from, user) && self.may_say(now) {
            tracing::warn!(
                address = %from,
                "many users sign in from one private address; if it is a proxy, list it in \
                 CAPI_TRUSTED_PROXIES and let it set X-Forwarded-For"
            );
        }
    }

    /// Remembers the user. Returns whether many users have signed in from this private address.
    fn has_many(&self, from: IpAddr, user: UserId) -> bool {
        if is_public(from) {
            return false;
        }
        let mut seen = self.lock();
        if seen.users.len() >= MAX_ADDRESSES && !seen.users.contains_key(&from) {
            return false;
        }
        let users = seen.users.entry(from).or_default();
        if users.len() < MANY_USERS {
            users.insert(user);
        }
        users.len() >= MANY_USERS
    }

    fn may_say(&self, now: Instant) -> bool {
        let mut seen = self.lock();
        let due = seen.said.is_none_or(|said| now.saturating_duration_since(said) >= EVERY);
        if due {
            seen.said = Some(now);
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_it_rarely() {
        let (proxies, now) = (UnlistedProxies::default(), Instant::now());
        assert!(proxies.may_say(now));
        assert!(!proxies.may_say(now + EVERY / 2));
        assert!(proxies.may_say(now + EVERY));
    }

    #[test]
    fn many_users_of_one_private_address_are_noticed() {
        let proxies = UnlistedProxies::default();
        let (private, public) = (IpAddr::from([172, 17, 0, 1]), IpAddr::from([8, 8, 8, 8]));
        let ada = UserId::generate();
        assert!((0..20).all(|_| !proxies.has_many(private, ada)), "one user");
        let noticed = (0..10).filter(|_| proxies.has_many(private, UserId::generate())).count();
        assert_eq!(noticed, 2, "from the tenth user on");
        assert!((0..20).all(|_| !proxies.has_many(public, UserId::generate())));
    }
}
