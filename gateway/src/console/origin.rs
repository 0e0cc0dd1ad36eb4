//! Whether a form comes from one of our own pages: pure. Browsers say so themselves (Fetch Metadata, and Origin on every
//! POST); a request that says neither comes from no browser, and programs have the API.

use actix_web::http::header::{HOST, HeaderMap, ORIGIN};
use url::Url;

use super::cookie::is_loopback;

pub(super) fn is_own(headers: &HeaderMap, public_url: &Url) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = header("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match header(ORIGIN.as_str()) {
        // A proxy in front may have changed Host; what the operator says counts as well.
        Some(origin) => {
            let host = header(HOST.as_str()).unwrap_or_default();
            let named = Url::parse(origin).ok().filter(|origin| matches!(origin.scheme(), "http" | "https"));
            named.is_some_and(|named| {
                // Where the public address is https or loopback, no other kind of address becomes one by its Host.
                let by_host = if public_url.scheme() == "https" {
                    named.scheme() == "https"
                } else {
                    is_loopback(&named)
                };
                named.origin() == public_url.origin()
                    || by_host && origin.split_once("://").is_some_and(|(_, at)| at == host)
            })
        }
        None => site.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn an_installation_on_loopback_is_one_on_loopback_only() {
        let public = Url::parse("http://localhost:8080").unwrap();
        let own = |origin: &str, host: &str| {
            let request =
                TestRequest::default().insert_header(("origin", origin)).insert_header(("host", host));
            is_own(request.to_http_request().headers(), &public)
        };
        assert!(own("http://localhost:8080", "x") && own("http://127.0.0.1:9000", "127.0.0.1:9000"));
        assert!(
            !own("http://192.168.1.5:8080", "192.168.1.5:8080"),
            "a session would go over the network in clear"
        );
        assert!(
            !own("https://capi.example.com", "capi.example.com"),
            "its cookie would not be bound to https"
        );
    }

    #[test]
    fn only_our_own_pages_may_send_forms() {
        let public = Url::parse("https://capi.example.com").unwrap();
        let own = |headers: &[(&'static str, &str)]| {
            let request =
                headers.iter().fold(TestRequest::default(), |request, header| request.insert_header(*header));
            is_own(request.to_http_request().headers(), &public)
        };
        assert!(own(&[("origin", "https://capi.example.com"), ("host", "10.0.0.3:8080")]));
        assert!(own(&[("origin", "https://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[("origin", "https://evil.example"), ("host", "capi.example.com")][..],
            &[("origin", "https://capi.example.com.evil.example")],
            &[("origin", "http://capi.example.com"), ("host", "x")],
            &[("origin", "null"), ("host", "null")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://capi.example.com")],
            &[("origin", "http://capi.example.com"), ("host", "capi.example.com")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[],
        ] {
            assert!(!own(foreign), "{foreign:?}");
        }
    }
}
