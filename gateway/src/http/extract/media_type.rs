//! What the headers of a request say about its body.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};

use super::json::MAX_BODY;
use crate::http::ApiError;

/// Whether Content-Type names this media type, with any parameters.
#[must_use]
pub fn is_of_type(request: &HttpRequest, media_type: &str) -> bool {
    let kind = text(request, &CONTENT_TYPE).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media_type))
}

/// Refuses a body that is compressed, or in another character set than UTF-8.
pub fn check_encoding(request: &HttpRequest) -> Result<(), ApiError> {
    let codings = request.headers().get_all(CONTENT_ENCODING);
    let plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    for value in codings {
        let value = value.to_str().unwrap_or("?");
        if let Some(coding) = value.split(',').map(str::trim).find(|coding| !plain(coding)) {
            return Err(ApiError::UnsupportedMediaType(format!(
                "the body has the Content-Encoding {:?}; send it uncompressed, without that header",
                gateway_domain::quoted(coding)
            )));
        }
    }
    let kind = text(request, &CONTENT_TYPE).unwrap_or_default();
    match charset(kind) {
        // US-ASCII is a part of UTF-8.
        Some(charset) if !["utf-8", "utf8", "us-ascii"].contains(&charset.to_ascii_lowercase().as_str()) => {
            Err(ApiError::UnsupportedMediaType(format!(
                "Content-Type names the charset {:?}; send the body as UTF-8",
                gateway_domain::quoted(charset)
            )))
        }
        _ => Ok(()),
    }
}

/// The parameter `charset` of a Content-Type.
fn charset(kind: &str) -> Option<&str> {
    let parameters = kind.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// The bytes that Content-Length announces.
#[must_use]
pub fn announced(request: &HttpRequest) -> Option<u64> {
    text(request, &CONTENT_LENGTH)?.parse().ok()
}

/// Whether the body may be larger than fields alone: then it has files.
#[must_use]
pub fn may_have_large_files(request: &HttpRequest) -> bool {
    announced(request).is_none_or(|bytes| bytes > MAX_BODY as u64)
}

/// Whether Content-Length announces more than `most` bytes.
#[must_use]
pub fn announces_more(request: &HttpRequest, most: u64) -> bool {
    announced(request).is_some_and(|bytes| bytes > most)
}

fn text<'r>(request: &'r HttpRequest, name: &HeaderName) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_plain_utf8_is_read() {
        let check = |name: &'static str, value: &str| {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            check_encoding(&request).map_err(|error| error.to_string())
        };
        for (name, value) in [
            ("content-type", "application/json"),
            ("content-type", "application/json; charset=utf-8"),
            ("content-type", "application/json;charset=\"UTF8\""),
            ("content-type", "multipart/form-data; boundary=\"charset\""),
            ("content-encoding", "identity"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{value}");
        }
        for (name, value, said) in [
            ("content-type", "application/json; charset=ISO-8859-1", "charset \"ISO-8859-1\""),
            ("content-type", "application/json; a=b; Charset=utf-16", "as UTF-8"),
            ("content-encoding", "gzip", "uncompressed"),
            ("content-encoding", "identity, BR", "\"BR\""),
        ] {
            assert!(check(name, value).is_err_and(|error| error.contains(said)), "{value}");
        }
    }
}
