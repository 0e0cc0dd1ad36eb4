//! Decides when a delivery is attempted again: at most 10 attempts over three days.

use std::time::Duration;

use shared::deliveries::DeliveryStatus;

use crate::attempt::AttemptResult;

/// Seconds between one attempt and the next.
const SCHEDULE: [u64; 9] = [5, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400];
/// Attempts of one delivery.
pub const ATTEMPTS: usize = SCHEDULE.len() + 1;
const JITTER: f64 = 0.2;
const MAX_RETRY_AFTER: u64 = 86_400;
/// Counted from the start of the schedule. The last wait is shortened to it, even if the receiver asks for
/// more.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
const GONE: u16 = 410;

/// The status of a test after its only attempt.
#[must_use]
pub const fn after_ping(result: &AttemptResult) -> DeliveryStatus {
    if result.error.is_none() { DeliveryStatus::Delivered } else { DeliveryStatus::Failed }
}

/// The delivery's status after attempt number `attempt` (from 1), and the time until the next one. `age` is
/// the time since the start of the schedule; `random` is in 0..1.
#[must_use]
pub fn next(attempt: i32, result: &AttemptResult, age: Duration, random: f64) -> (DeliveryStatus, Duration) {
    if result.error.is_none() {
        return (DeliveryStatus::Delivered, Duration::ZERO);
    }
    let planned = usize::try_from(attempt).ok().and_then(|number| SCHEDULE.get(number.saturating_sub(1)));
    let (Some(planned), false) = (planned, result.status_code == Some(GONE)) else {
        return (DeliveryStatus::Failed, Duration::ZERO);
    };
    let jittered =
        Duration::from_secs(*planned).mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0));
    let asked = Duration::from_secs(result.retry_after.unwrap_or(0).min(MAX_RETRY_AFTER));
    let wait = jittered.max(asked).min(GIVE_UP_AFTER.saturating_sub(age));
    if wait.is_zero() { (DeliveryStatus::Failed, Duration::ZERO) } else { (DeliveryStatus::Retrying, wait) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::deliveries::DeliveryError;

    fn failed(status_code: Option<u16>, retry_after: Option<u64>) -> AttemptResult {
        AttemptResult { status_code, retry_after, ..AttemptResult::failed(DeliveryError::Status, "no") }
    }

    #[test]
    fn the_guide_has_this_schedule() {
        let text = |seconds: u64| match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        let pauses = SCHEDULE.map(text).join(", ");
        let days = GIVE_UP_AFTER.as_secs() / 86_400;
        let timeout = crate::client::TOTAL_TIMEOUT.as_secs();
        let limits = include_str!("../../docs/guides/limits.md");
        for row in [
            format!("| pause before the next attempt | {pauses} |"),
            format!("| attempts | {ATTEMPTS} over {days} days |"),
            format!("| time to answer | {timeout} s |"),
        ] {
            assert!(limits.contains(&row), "docs/guides/limits.md lacks: {row}");
        }
    }

    #[test]
    fn the_schedule_ends_after_ten_attempts() {
        for random in [0.0, 0.5, 1.0] {
            let mut age = Duration::ZERO;
            for (attempt, planned) in (1..=9).zip(SCHEDULE) {
                let (status, wait) = next(attempt, &failed(Some(500), None), age, random);
                let expected = Duration::from_secs(planned)
                    .mul_f64(0.8 + 0.4 * random)
                    .min(GIVE_UP_AFTER.saturating_sub(age));
                assert_eq!(
                    (status, wait),
                    (DeliveryStatus::Retrying, expected),
                    "attempt {attempt}, random {random}"
                );
                age += wait;
            }
            assert_eq!(next(10, &failed(Some(500), None), age, random).0, DeliveryStatus::Failed);
        }
    }

    #[test]
    fn jitter_and_retry_after_change_the_wait_and_410_ends_it() {
        let wait = |result: &AttemptResult, random| next(2, result, Duration::ZERO, random).1.as_secs();
        assert_eq!(wait(&failed(None, None), 0.0), 48);
        assert_eq!(wait(&failed(None, None), 1.0), 72);
        assert_eq!(wait(&failed(Some(503), Some(100)), 0.5), 100);
        assert_eq!(wait(&failed(Some(503), Some(u64::MAX)), 0.5), MAX_RETRY_AFTER);
        assert_eq!(next(1, &failed(Some(410), None), Duration::ZERO, 0.5).0, DeliveryStatus::Failed);
        assert_eq!(next(2, &failed(None, None), GIVE_UP_AFTER, 0.5).0, DeliveryStatus::Failed);
        assert_eq!(next(1, &AttemptResult::default(), Duration::ZERO, 0.5).0, DeliveryStatus::Delivered);
    }
}
