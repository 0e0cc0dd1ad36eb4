//! Limits the console's requests of one account per minute, in this process: above what a person needs, below
//! what a script could do. Programs use the API, which has its own limit.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::ids::UserId;

use super::Flood;

/// Forms of one account.
const FORMS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();
/// Pages and parts of pages: an open list polls 20 times a minute.
const PAGES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(900).unwrap();

pub struct Throttle {
    forms: DefaultKeyedRateLimiter<UserId>,
    pages: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            forms: RateLimiter::keyed(Quota::per_minute(FORMS_PER_MINUTE)),
            pages: RateLimiter::keyed(Quota::per_minute(PAGES_PER_MINUTE)),
            clock: DefaultClock::default(),
        }
    }
}

impl Throttle {
    /// Counts a request. `form`: it may change something.
    pub fn take(&self, user: UserId, form: bool) -> Result<(), Flood> {
        let limiter = if form { &self.forms } else { &self.pages };
        limiter.check_key(&user).map_err(|until| Flood(until.wait_time_from(self.clock.now())))
    }

    /// Removes entries that limit nothing any more.
    pub fn prune(&self) {
        for limiter in [&self.forms, &self.pages] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
