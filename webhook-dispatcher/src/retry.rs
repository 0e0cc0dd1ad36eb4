//! When a delivery is tried again: pure. Up to 10 tries over three days.

use std::time::Duration;

use shared::deliveries::DeliveryStatus;

use crate::attempt::Attempted;

/// Seconds from one try to the next.
const SCHEDULE: [u64; 9] = [5, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400];
/// Tries of one delivery.
pub const TRIES: usize = SCHEDULE.len() + 1;
const JITTER: f64 = 0.2;
const MAX_RETRY_AFTER: u64 = 86_400;
/// From the run's end, however long the receiver asks to wait: the last wait is shortened to it.
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
const GONE: u16 = 410;

/// Where a delivery stands after its try number `attempt` (from 1), and how long until the next one. `age` is the
/// time since the run ended, `luck` a random number in 0..1.
#[must_use]
pub fn after(attempt: i32, attempted: &Attempted, age: Duration, luck: f64) -> (DeliveryStatus, Duration) {
    if attempted.error.is_none() {
        return (DeliveryStatus::Delivered, Duration::ZERO);
    }
    let planned = usize::try_from(attempt).ok().and_then(|number| SCHEDULE.get(number.saturating_sub(1)));
    let (Some(planned), false) = (planned, attempted.status_code == Some(GONE)) else {
        return (DeliveryStatus::Failed, Duration::ZERO);
    };
    let jittered = Duration::from_secs(*planned).mul_f64(1.0 - JITTER + 2.0 * JITTER * luck.clamp(0.0, 1.0));
    let asked = Duration::from_secs(attempted.retry_after.unwrap_or(0).min(MAX_RETRY_AFTER));
    let wait = jittered.max(asked).min(GIVE_UP_AFTER.saturating_sub(age));
    if wait.is_zero() { (DeliveryStatus::Failed, Duration::ZERO) } else { (DeliveryStatus::Retrying, wait) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::text::CleanText;

    fn failed(status_code: Option<u16>, retry_after: Option<u64>) -> Attempted {
        Attempted { status_code, retry_after, error: Some(CleanText::new("no", 9)), ..Attempted::default() }
    }

    #[test]
    fn ten_tries_then_over() {
        for luck in [0.0, 0.5, 1.0] {
            let mut age = Duration::ZERO;
            for (attempt, planned) in (1..=9).zip(SCHEDULE) {
                let (status, wait) = after(attempt, &failed(Some(500), None), age, luck);
                let expected = Duration::from_secs(planned)
                    .mul_f64(0.8 + 0.4 * luck)
                    .min(GIVE_UP_AFTER.saturating_sub(age));
                assert_eq!(
                    (status, wait),
                    (DeliveryStatus::Retrying, expected),
                    "try {attempt}, luck {luck}"
                );
                age += wait;
            }
            assert_eq!(after(10, &failed(Some(500), None), age, luck).0, DeliveryStatus::Failed);
        }
    }

    #[test]
    fn jitter_retry_after_and_ends() {
        let wait = |attempted: &Attempted, luck| after(2, attempted, Duration::ZERO, luck).1.as_secs();
        assert_eq!(wait(&failed(None, None), 0.0), 48);
        assert_eq!(wait(&failed(None, None), 1.0), 72);
        assert_eq!(wait(&failed(Some(503), Some(100)), 0.5), 100);
        assert_eq!(wait(&failed(Some(503), Some(u64::MAX)), 0.5), MAX_RETRY_AFTER);
        assert_eq!(after(1, &failed(Some(410), None), Duration::ZERO, 0.5).0, DeliveryStatus::Failed);
        assert_eq!(after(2, &failed(None, None), GIVE_UP_AFTER, 0.5).0, DeliveryStatus::Failed);
        assert_eq!(after(1, &Attempted::default(), Duration::ZERO, 0.5).0, DeliveryStatus::Delivered);
    }
}
