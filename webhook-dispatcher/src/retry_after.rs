//! The header `Retry-After` of an answer (RFC 9110): seconds, or a date in one of three forms.

use std::time::SystemTime;

/// Seconds to wait from `now`. A time in the past is 0, and other text is `None`.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit is a long time.
        return Some(value.parse().unwrap_or(u64::MAX));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    // Not a part of a second too early.
    Some(at.duration_since(now).map_or(0, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::testing::property;

    use super::*;

    /// 30 Nov 2026, 14:04:03 UTC.
    const NOW: u64 = 1_796_047_443;

    fn at(now: Duration, value: &str) -> Option<u64> {
        retry_after(value, SystemTime::UNIX_EPOCH + now)
    }

    #[test]
    fn seconds_and_all_forms_of_dates_count() {
        let now = Duration::from_secs(NOW);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Mon, 30 Nov 2026 14:14:03 GMT", Some(600)),
            ("Monday, 30-Nov-26 14:14:03 GMT", Some(600)),
            ("Mon Nov 30 14:14:03 2026", Some(600)),
            ("Tue, 01 Dec 2026 14:04:03 GMT", Some(86_400)),
            ("Mon, 30 Nov 2026 14:04:02 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("Mon, 31 Nov 2026 14:14:03 GMT", None),
            ("2026-11-30T14:14:03Z", None),
        ] {
            assert_eq!(at(now, value), expected, "{value:?}");
        }
        let later = now + Duration::from_millis(1);
        assert_eq!(at(later, "Mon, 30 Nov 2026 14:14:03 GMT"), Some(600), "not too early");
    }

    #[test]
    fn property_no_value_panics() {
        let parts = &["Mon", ", ", "30", "-Nov-", " Nov ", "9999", " ", "14:", "GMT", "\u{e4}"];
        property::check_inputs("retry_after", property::repeated(parts, 60), |value| {
            at(Duration::from_secs(NOW), value);
            Ok(())
        });
    }
}
