//! Decides when a failed request to a model is repeated. Pure. Frequent retries make an overload worse. So
//! waits grow, are spread at random, and are never shorter than the server's `Retry-After`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

use super::ModelError;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Tries while the server limits the rate or is down: about three minutes of waits in all.
const TRIES_WHILE_UNAVAILABLE: u32 = 10;
/// Tries after unusable answers, or none in time: a fourth is unlikely to be usable, and each is paid.
const TRIES_WHILE_UNUSABLE: u32 = 3;

/// How long to wait before the next try, or `None` if there is none. `tries` requests failed with this code.
/// `left` of the run's time remains. `chance` is a random number from 0 to 1.
#[must_use]
pub fn wait_before_next(error: &ModelError, tries: u32, left: Duration, chance: f64) -> Option<Duration> {
    let (most, asked) = match error {
        ModelError::RateLimited(_, asked) | ModelError::Unavailable(_, asked) => {
            (TRIES_WHILE_UNAVAILABLE, *asked)
        }
        ModelError::Unusable(_) | ModelError::Silent(_) => (TRIES_WHILE_UNUSABLE, None),
        _ => return None,
    };
    let grown = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    let spread = grown.mul_f64(0.5 + chance / 2.0);
    let wait = asked.unwrap_or_default().saturating_add(spread);
    (tries < most && wait < left).then_some(wait)
}

/// `Retry-After` (RFC 9110: seconds, or a date), or OpenAI's `retry-after-ms`.
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = text("retry-after")?;
    let until = || (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok();
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Duration = Duration::from_mins(10);

    fn unavailable(asked: Option<u64>) -> ModelError {
        ModelError::Unavailable(String::new(), asked.map(Duration::from_secs))
    }

    #[test]
    fn waits_grow_and_are_spread_and_tries_end() {
        let seconds = |chance| {
            let waits = (1..).map_while(|tries| wait_before_next(&unavailable(None), tries, LEFT, chance));
            waits.map(|wait| wait.as_secs_f64()).collect::<Vec<_>>()
        };
        assert_eq!(seconds(1.0), [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(seconds(0.0)[..3], [0.25, 0.5, 1.0]);
        let unusable = ModelError::Unusable(String::new());
        assert!(wait_before_next(&unusable, 2, LEFT, 0.5).is_some());
        assert!(wait_before_next(&unusable, 3, LEFT, 0.5).is_none());
    }

    #[test]
    fn retry_after_and_the_runs_time_bound_the_wait() {
        let limited = ModelError::RateLimited(String::new(), Some(Duration::from_secs(20)));
        let wait = wait_before_next(&limited, 1, LEFT, 0.5).unwrap();
        assert!(wait > Duration::from_secs(20) && wait < Duration::from_secs(21), "{wait:?}");
        assert!(
            wait_before_next(&limited, 1, Duration::from_secs(19), 0.5).is_none(),
            "the next try would be too late"
        );
        let forever = ModelError::RateLimited(String::new(), Some(Duration::MAX));
        assert!(wait_before_next(&forever, 1, LEFT, 0.5).is_none());
        let permanent = [ModelError::Auth, ModelError::Refused, ModelError::Quota, ModelError::Unreachable];
        for permanent in permanent.map(|of| of(String::new())) {
            assert!(wait_before_next(&permanent, 1, LEFT, 0.5).is_none());
        }
    }

    #[test]
    fn retry_after_is_seconds_milliseconds_or_a_date() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, DateTime::UNIX_EPOCH)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "70"), Some(Duration::from_millis(70)));
        assert_eq!(of("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(of("retry-after", "soon"), None);
    }
}
