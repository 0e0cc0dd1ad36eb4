//! The header `Accept` of an endpoint that has two forms of its answer. Pure but for reading the header.

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT;

use crate::http::ApiError;

/// What the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Json,
    EventStream,
}

/// JSON, unless the client names `text/event-stream` and prefers it.
pub fn json_or_event_stream(request: &HttpRequest) -> Result<Wanted, ApiError> {
    choose(&ranges_of(request)).ok_or(ApiError::NoSuchMediaType("application/json or text/event-stream"))
}

/// Whether the client names the media type `other`, and wants it at least as much as `usual`.
#[must_use]
pub fn prefers(request: &HttpRequest, other: &str, usual: &str) -> bool {
    names_first(&ranges_of(request), other, usual)
}

/// Whether the client names one of these media types, and does not refuse it.
#[must_use]
pub fn names_any(request: &HttpRequest, names: &[&str]) -> bool {
    let ranges = ranges_of(request);
    names.iter().any(|name| weight(&ranges, &[name]) > 0)
}

fn names_first(ranges: &str, other: &str, usual: &str) -> bool {
    let weight_of_other = weight(ranges, &[other]);
    weight_of_other > 0 && weight_of_other >= weight(ranges, &[usual])
}

fn ranges_of(request: &HttpRequest) -> String {
    let mut ranges = String::new();
    for value in request.headers().get_all(ACCEPT) {
        ranges.push_str(value.to_str().unwrap_or_default());
        ranges.push(',');
    }
    ranges
}

fn choose(ranges: &str) -> Option<Wanted> {
    if ranges.trim_matches([',', ' ']).is_empty() {
        return Some(Wanted::Json);
    }
    let json = weight(ranges, &["application/json", "application/*", "*/*"]);
    let stream = weight(ranges, &["text/event-stream", "text/*", "*/*"]);
    let named = weight(ranges, &["text/event-stream"]) > 0;
    match (json, stream) {
        (0, 0) => None,
        (json, stream) if stream > json || (named && stream == json) => Some(Wanted::EventStream),
        _ => Some(Wanted::Json),
    }
}

/// The weight, in thousandths, of the first of these ranges that the header has: the most specific one counts
/// (RFC 9110, 12.5.1).
fn weight(ranges: &str, names: &[&str]) -> u32 {
    let weight_of = |name: &str| {
        ranges.split(',').find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(name));
            is_named.then(|| parts.find_map(quality).unwrap_or(1000))
        })
    };
    names.iter().find_map(|name| weight_of(name)).unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000 by the clamp")]
fn quality(parameter: &str) -> Option<u32> {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    value.trim().parse::<f32>().ok().map(|quality| (quality.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_must_be_asked_for_by_name() {
        let (json, stream) = (Some(Wanted::Json), Some(Wanted::EventStream));
        for (header, wanted) in [
            ("", json),
            ("*/*", json),
            ("application/json", json),
            ("application/*;q=0.5, text/html", json),
            ("text/html, application/json", json),
            ("text/event-stream", stream),
            ("TEXT/Event-Stream ; q=0.3", stream),
            ("application/json, text/event-stream", stream),
            ("application/json, text/event-stream;q=0.5", json),
            ("text/event-stream, */*;q=0.1", stream),
            ("text/*", stream),
            ("application/json;q=0, */*", stream),
            ("text/event-stream;q=0, */*", json),
            ("text/html", None),
            ("application/xml;q=1, image/*", None),
            ("*/*;q=0", None),
            ("nonsense", None),
        ] {
            assert_eq!(choose(header), wanted, "{header}");
        }
    }

    #[test]
    fn another_type_must_be_named_and_weigh_as_much() {
        for (accept, first) in [
            ("application/toml", true),
            ("Application/TOML; charset=utf-8", true),
            ("application/toml, */*", true),
            ("application/json, application/toml", true),
            ("application/json, application/toml;q=0.5", false),
            ("application/toml;q=0.5, application/json;q=0.4", true),
            ("application/toml;q=0", false),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(names_first(accept, "application/toml", "application/json"), first, "{accept}");
        }
    }
}
