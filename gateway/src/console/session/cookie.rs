//! The session's cookie. With https its name begins with `__Host-` and it is Secure: no other host and no
//! connection without TLS can read or set it (RFC 6265bis). On loopback without https it is a cookie without
//! these guards. At any other http address there are no sessions, and the sign-in page says what to
//! configure.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use gateway_domain::accounts::sessions::SessionToken;
use url::{Host, Url};

/// The longest life of a session.
const MAX_AGE: Duration = Duration::days(90);

/// The kind of cookie that the installation's address allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieRule {
    /// The address is https.
    Secure,
    /// The address is http on loopback.
    Loopback,
    /// The address is http on a network, which could read a session.
    None,
}

impl CookieRule {
    pub(crate) fn of(public_url: &Url) -> Self {
        let loopback = is_loopback(public_url);
        match (public_url.scheme(), loopback) {
            ("https", _) => Self::Secure,
            (_, true) => Self::Loopback,
            _ => Self::None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-capi_session",
            Self::Loopback | Self::None => "capi_session",
        }
    }

    /// The token in the request's cookie.
    pub(crate) fn read(self, request: &HttpRequest) -> Option<SessionToken> {
        if self == Self::None {
            return None;
        }
        // Raw names: a name with percent-encoded characters does not have the protection of `__Host-`.
        let cookies = request.cookies_raw().ok()?;
        let mut found = cookies.iter().filter(|cookie| cookie.name() == self.name());
        let token = SessionToken::parse(found.next()?.value())?;
        // Two cookies of that name: another site may have set one, so neither counts.
        found.next().is_none().then_some(token)
    }

    /// The cookie that gives the browser a token.
    pub(crate) fn give(self, token: &SessionToken) -> Cookie<'static> {
        self.cookie(token.reveal().to_owned(), MAX_AGE)
    }

    /// The cookie that makes the browser delete its token.
    pub(crate) fn take(self) -> Cookie<'static> {
        self.cookie(String::new(), Duration::ZERO)
    }

    fn cookie(self, value: String, max_age: Duration) -> Cookie<'static> {
        Cookie::build(self.name(), value)
            .path("/")
            .http_only(true)
            .secure(self == Self::Secure)
            .same_site(SameSite::Lax)
            .max_age(max_age)
            .finish()
    }
}

/// Whether the address is on the browser's own machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn rule(url: &str) -> CookieRule {
        CookieRule::of(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_https_and_loopback_allow_sessions() {
        assert_eq!(rule("https://capi.example.com"), CookieRule::Secure);
        for here in
            ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:1", "http://capi.localhost"]
        {
            assert_eq!(rule(here), CookieRule::Loopback, "{here}");
        }
        for elsewhere in ["http://capi.example.com", "http://192.168.1.1", "http://localhost.example.com"] {
            assert_eq!(rule(elsewhere), CookieRule::None, "{elsewhere}");
        }
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let token = SessionToken::generate().unwrap();
        let secure = CookieRule::Secure.give(&token).to_string();
        for part in ["__Host-capi_session=", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"] {
            assert!(secure.contains(part), "{part}");
        }
        assert!(
            !secure.contains("Domain") && !CookieRule::Loopback.give(&token).to_string().contains("Secure")
        );
        let given = TestRequest::default().cookie(CookieRule::Secure.give(&token)).to_http_request();
        assert!(CookieRule::Secure.read(&given).is_some_and(|read| read.reveal() == token.reveal()));
        assert!(CookieRule::Loopback.read(&given).is_none() && CookieRule::None.read(&given).is_none());
        let two = format!("capi_session={0}; capi_session={0}", token.reveal());
        let two = TestRequest::default().insert_header(("cookie", two)).to_http_request();
        assert!(CookieRule::Loopback.read(&two).is_none());
    }
}
