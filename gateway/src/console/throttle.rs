//! What one account may change through the console in a minute, in this process: more than a person does, less than a
//! script that was let loose on the pages. Programs have the API, with its own limit.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared::ids::UserId;

use crate::error::ApiError;

/// Forms of one account.
const FORMS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();

/// See the module.
pub(crate) struct Throttle {
    forms: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            forms: RateLimiter::keyed(Quota::per_minute(FORMS_PER_MINUTE)),
            clock: DefaultClock::default(),
        }
    }
}

impl Throttle {
    pub(super) fn take(&self, user: UserId) -> Result<(), ApiError> {
        self.forms.check_key(&user).map_err(|until| ApiError::TooFast {
            retry_after: until.wait_time_from(self.clock.now()).as_secs() + 1,
        })
    }

    pub(super) fn tidy(&self) {
        self.forms.retain_recent();
        self.forms.shrink_to_fit();
    }
}
