//! Conditional requests (RFC 9110, 13.1.2).

use actix_web::HttpRequest;
use actix_web::http::header::IF_NONE_MATCH;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

/// Bytes of the hash in a tag.
const TAG_BYTES: usize = 16;

/// The tag of a body. It is weak, because a proxy may compress the body.
#[must_use]
pub fn tag(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    format!(r#"W/"{}""#, BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..TAG_BYTES]))
}

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
