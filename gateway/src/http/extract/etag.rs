//! Conditional requests (RFC 9110, 13.1.2).

use actix_web::HttpRequest;
use actix_web::http::header::IF_NONE_MATCH;

/// Whether `If-None-Match` names the tag. The comparison is the weak one: a proxy that compresses weakens
/// tags.
#[must_use]
pub fn is_known(request: &HttpRequest, tag: &str) -> bool {
    let headers = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    headers.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
    })
}
