//! What one account may ask of the console in a minute, in this process: more than a person does, less than a script that
//! was let loose on the pages. Programs have the API, with its own limit.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::ids::UserId;

use crate::auth::Flood;

/// Forms of one account.
const FORMS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();
/// Pages, and parts of them: a list asks for itself 20 times a minute in each window.
const PAGES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(900).unwrap();

/// See the module.
pub(crate) struct Throttle {
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
    /// One more request; whether it is a form that changes something.
    pub(super) fn take(&self, user: UserId, form: bool) -> Result<(), Flood> {
        let limiter = if form { &self.forms } else { &self.pages };
        limiter.check_key(&user).map_err(|until| Flood(until.wait_time_from(self.clock.now())))
    }

    pub(super) fn tidy(&self) {
        for limiter in [&self.forms, &self.pages] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
