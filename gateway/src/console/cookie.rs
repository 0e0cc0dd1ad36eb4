//! The session's cookie. With https it is `__Host-…` and Secure: no other host and no plain connection can read or set it
//! (RFC 6265bis). On loopback, where browsers have no https, it is a plain one; anywhere else there is none, and the
//! sign-in page says what to set.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use gateway_domain::accounts::sessions::SessionToken;
use url::{Host, Url};

/// How long a browser keeps it: as long as a session may last.
const MAX_AGE: Duration = Duration::days(90);

/// Which kind of cookie the installation's address allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CookieRule {
    /// https.
    Secure,
    /// http on loopback.
    Loopback,
    /// http on a network: a session would be readable on the way.
    None,
}

impl CookieRule {
    pub(super) fn of(public_url: &Url) -> Self {
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

    /// What the browser holds.
    pub(super) fn read(self, request: &HttpRequest) -> Option<SessionToken> {
        if self == Self::None {
            return None;
        }
        // Where somebody has managed to set a second one of that name, neither is believed.
        // As they are: a name that is spelt with percent signs is not bound to this host.
        let cookies = request.cookies_raw().ok()?;
        let mut found = cookies.iter().filter(|cookie| cookie.name() == self.name());
        let token = SessionToken::parse(found.next()?.value())?;
        found.next().is_none().then_some(token)
    }

    /// For the browser to hold.
    pub(super) fn give(self, token: &SessionToken) -> Cookie<'static> {
        self.cookie(token.reveal().to_owned(), MAX_AGE)
    }

    /// For the browser to forget.
    pub(super) fn take(self) -> Cookie<'static> {
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

/// Whether the address is of this very machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn rule(url: &str) -> CookieRule {
        CookieRule::of(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_https_and_loopback_have_sessions() {
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
