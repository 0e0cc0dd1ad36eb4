//! A webhook URL as the contract allows it.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::ip_policy::IpPolicy;

/// Bytes of a webhook URL.
pub const MAX_URL_BYTES: usize = 2048;
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// A URL that passed [`WebhookUrl::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// What is wrong with a URL, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    /// Longer than [`MAX_URL_BYTES`].
    #[error("is longer than {MAX_URL_BYTES} bytes; shorten it")]
    TooLong,
    /// Not a URL.
    #[error("is not a URL ({0}); give an absolute one like https://example.com/hook")]
    Malformed(url::ParseError),
    /// Another scheme than http or https.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// User name or password.
    #[error("must not carry a user name or password; verify the signature instead")]
    Credentials,
    /// A privileged port.
    #[error("port {0} is not allowed; use 80, 443 or one from 1024 up")]
    Port(u16),
    /// The host is an address literal that is not public.
    #[error(
        "points to {0}, which is not a public address; use a public host, or have the operator add its network to CAPI_WEBHOOK_ALLOWED_NETWORKS"
    )]
    NotPublic(IpAddr),
}

impl WebhookUrl {
    /// Checks form, scheme, credentials, port, and the address where the host is a literal (in any notation: the
    /// WHATWG parser reads decimal, octal and hexadecimal ones).
    pub fn parse(text: &str, policy: &IpPolicy) -> Result<Self, UrlRefusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlRefusal::TooLong);
        }
        let url = Url::parse(text).map_err(UrlRefusal::Malformed)?;
        // Percent-encoding makes it longer, and it is this form that is stored and parsed again.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(UrlRefusal::TooLong);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlRefusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefusal::Credentials);
        }
        match url.port() {
            Some(port) if port < FIRST_UNPRIVILEGED_PORT && port != 80 && port != 443 => {
                return Err(UrlRefusal::Port(port));
            }
            _ => {}
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match literal {
            Some(address) if !policy.permits(address) => Err(UrlRefusal::NotPublic(address)),
            _ => Ok(Self(url)),
        }
    }

    /// Host and port: what a lane is made of.
    #[must_use]
    pub fn lane_host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        format!("{host}:{}", self.0.port_or_known_default().unwrap_or_default())
    }

    /// The URL for a client.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_wrong() {
        let refusal = |text: &str| WebhookUrl::parse(text, &IpPolicy::default()).unwrap_err().to_string();
        assert!(refusal(&format!("https://e.com/{}", "x".repeat(2048))).contains("longer"));
        assert!(refusal("/hook").contains("absolute"));
        assert!(refusal("ftp://e.com/").contains("https://"));
        assert!(refusal("https://u:p@e.com/").contains("password"));
        assert!(refusal("https://e.com:22/").contains("port 22"));
        for literal in
            ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0"]
        {
            assert!(refusal(&format!("http://{literal}:8080/")).contains("not a public"), "{literal}");
        }
    }

    #[test]
    fn a_lane_is_host_and_port() {
        let parse = |text: &str| WebhookUrl::parse(text, &IpPolicy::default()).unwrap().lane_host();
        assert_eq!(parse("https://Example.com/a"), "example.com:443");
        assert_eq!(parse("http://example.com:8080/a"), "example.com:8080");
    }
}
