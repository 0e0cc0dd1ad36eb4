//! Whether one of the console's own pages sent a request. Pure. Browsers send Fetch Metadata, or at least
//! Origin with each POST. A request with neither does not come from a browser; programs use the API.

use actix_web::http::header::{HOST, HeaderMap, ORIGIN};
use url::Url;

use super::cookie::is_loopback;

pub(crate) fn is_own(headers: &HeaderMap, public_url: &Url) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = header("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match header(ORIGIN.as_str()) {
        // A proxy may have changed Host, so the operator's CAPI_PUBLIC_URL counts too.
        Some(origin) => {
            let host = header(HOST.as_str()).unwrap_or_default();
            let named = Url::parse(origin).ok().filter(|origin| matches!(origin.scheme(), "http" | "https"));
            named.is_some_and(|named| {
                // Host may name another address of the same kind only: https if CAPI_PUBLIC_URL is https,
                // else loopback.
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
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn http_is_accepted_only_on_loopback() {
        let public = Url::parse("http://localhost:8080").unwrap();
        let own = |origin: &str, host: &str| {
            let request =
                TestRequest::default().insert_header(("origin", origin)).insert_header(("host", host));
            is_own(request.to_http_request().headers(), &public)
        };
        assert!(own("http://localhost:8080", "x") && own("http://127.0.0.1:9000", "127.0.0.1:9000"));
        assert!(!own("http://192.168.1.5:8080", "192.168.1.5:8080"), "the network could read the session");
        assert!(!own("https://capi.example.com", "capi.example.com"), "the cookie is not bound to https");
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
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
