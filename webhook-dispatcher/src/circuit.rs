//! Decides when a lane is closed because its host does not work, and for how long (a circuit breaker). Pure.
//! The row of the lane holds the state: `failures` in a row, and `closed_until`.

use std::time::Duration;

use shared::deliveries::DeliveryError;

/// Failures in a row that close a lane. One may be an accident, and a host that restarts takes a while.
const CLOSE_AFTER: i32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// A host that works again gets its webhooks after this time at the latest.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// So that the lanes of a network that failed are not all probed at once.
const JITTER: f64 = 0.2;

/// What an attempt shows about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered HTTP, with any status.
    Works,
    Broken,
    /// No request reached it, for a reason that is not its own.
    Unknown,
}

/// What an attempt with this error shows.
#[must_use]
pub const fn health(error: Option<DeliveryError>) -> Health {
    match error {
        None | Some(DeliveryError::Status) => Health::Works,
        Some(DeliveryError::AddressNotAllowed | DeliveryError::InvalidUrl | DeliveryError::NotSent) => {
            Health::Unknown
        }
        Some(
            DeliveryError::DnsFailed
            | DeliveryError::ConnectRefused
            | DeliveryError::ConnectTimeout
            | DeliveryError::ConnectFailed
            | DeliveryError::TlsFailed
            | DeliveryError::TlsTimeout
            | DeliveryError::TlsCertificateInvalid
            | DeliveryError::Timeout
            | DeliveryError::ConnectionReset
            | DeliveryError::InvalidResponse,
        ) => Health::Broken,
    }
}

/// The new state of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub failures: i32,
    /// `None` opens the lane.
    pub closed_for: Option<Duration>,
}

/// The lane's state after an attempt, if it changes. `failures` is the state when the delivery was claimed
/// (`None`: no attempt yet); `random` is in 0..1. Several attempts that were claimed in one state and fail
/// count once, because one short fault of the host ends all of them.
#[must_use]
pub fn next(failures: Option<i32>, health: Health, random: f64) -> Option<Change> {
    match health {
        Health::Unknown => None,
        Health::Works if failures == Some(0) => None,
        Health::Works => Some(Change { failures: 0, closed_for: None }),
        Health::Broken => {
            let failures = failures.unwrap_or(0).saturating_add(1);
            let closed_for = (failures >= CLOSE_AFTER).then(|| pause(failures - CLOSE_AFTER, random));
            Some(Change { failures, closed_for })
        }
    }
}

/// Doubles with each probe that fails.
fn pause(failed_probes: i32, random: f64) -> Duration {
    let doubled = u32::try_from(failed_probes).ok().and_then(|probes| 2_u32.checked_pow(probes));
    let pause = FIRST_PAUSE.saturating_mul(doubled.unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_closes_after_three_failures_for_a_growing_time_and_opens_with_one_answer() {
        let state = |failures, pause: Option<u64>| {
            Some(Change { failures, closed_for: pause.map(Duration::from_secs) })
        };
        for (failures, health, expected) in [
            (None, Health::Works, state(0, None)),
            (None, Health::Unknown, None),
            (None, Health::Broken, state(1, None)),
            (Some(0), Health::Works, None),
            (Some(0), Health::Broken, state(1, None)),
            (Some(1), Health::Broken, state(2, None)),
            (Some(1), Health::Works, state(0, None)),
            (Some(2), Health::Broken, state(3, Some(30))),
            (Some(3), Health::Broken, state(4, Some(60))),
            (Some(4), Health::Broken, state(5, Some(120))),
            (Some(5), Health::Broken, state(6, Some(240))),
            (Some(6), Health::Broken, state(7, Some(480))),
            (Some(7), Health::Broken, state(8, Some(600))),
            (Some(60), Health::Broken, state(61, Some(600))),
            (Some(i32::MAX), Health::Broken, state(i32::MAX, Some(600))),
            (Some(60), Health::Unknown, None),
            (Some(60), Health::Works, state(0, None)),
        ] {
            assert_eq!(next(failures, health, 0.5), expected, "{failures:?} {health:?}");
        }
        let pause = |random| next(Some(2), Health::Broken, random).unwrap().closed_for.unwrap().as_secs();
        assert_eq!((pause(0.0), pause(1.0)), (24, 36));
    }

    #[test]
    fn only_faults_of_the_host_count() {
        let with =
            |health| DeliveryError::ALL.iter().filter(move |error| self::health(Some(**error)) == health);
        let codes = |health| with(health).map(|error| error.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(health(None), Health::Works);
        assert_eq!(codes(Health::Works), "status");
        assert_eq!(codes(Health::Unknown), "address_not_allowed invalid_url not_sent");
    }
}
