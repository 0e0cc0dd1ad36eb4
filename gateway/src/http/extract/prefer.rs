//! `Prefer: wait=N` (RFC 7240): the client prefers to wait for the end of the run. Unknown preferences are
//! ignored, as the RFC requires.

use std::time::Duration;

use actix_web::HttpRequest;

/// The wait that the request prefers.
#[must_use]
pub fn preferred_wait(request: &HttpRequest) -> Option<Duration> {
    let headers = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    headers.flat_map(|text| text.split(',')).find_map(wait)
}

fn wait(preference: &str) -> Option<Duration> {
    let preference = preference.split(';').next()?;
    let (name, value) = preference.split_once('=')?;
    let seconds = seconds(value.trim().trim_matches('"'))?;
    name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
}

/// A whole number of seconds, however large.
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        for (text, seconds) in [
            ("wait=10", Some(10)),
            (" Wait = \"5\" ; x=y", Some(5)),
            ("wait", None),
            ("wait=99999999999", Some(u32::MAX.into())),
        ] {
            assert_eq!(wait(text), seconds.map(Duration::from_secs), "{text}");
        }
        for text in ["wait=-1", "wait=soon", "respond-async", "await=3"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
