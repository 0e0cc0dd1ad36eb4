//! The form that every URL given by a user must have: webhook URLs, and URLs that a model fetches.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::ip_policy::IpPolicy;

/// Bytes of a URL, before and after percent-encoding.
pub const MAX_URL_BYTES: usize = 2048;
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// What `localhost` means, whatever a name server or a file says (RFC 6761).
pub const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Whether a host name of a parsed URL is `localhost` or below it. The parser wrote it in lower case.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    let name = without_root(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// The name without the dot at its end, which stands for the root of DNS.
#[must_use]
pub fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// An http or https URL that passed [`PublicUrl::parse`]. Its host name may still resolve to a non-public
/// address, so the client checks each resolved address before it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// Why a URL is rejected. The text continues a sentence whose subject is the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    #[error("is longer than {MAX_URL_BYTES} bytes; shorten it")]
    TooLong,
    #[error("is not a URL ({0}); give an absolute one like https://example.com/path")]
    Malformed(url::ParseError),
    #[error("must begin with https:// or http://")]
    Scheme,
    #[error("must not contain a user name or password")]
    Credentials,
    #[error("port {0} is not allowed; use 80, 443 or one from 1024 up")]
    Port(u16),
    /// The host is an IP address. Host names are checked when they are resolved.
    #[error(
        "points to {0}, which is not a public address; \
         use a public host or ask the operator to allow its network"
    )]
    NotPublic(IpAddr),
    /// The host is `localhost` or a name below it, and no address of the loopback is permitted.
    #[error(
        "points to localhost, which is the machine of capi and not a public address; \
         use a public host or ask the operator to allow the network 127.0.0.0/8"
    )]
    Localhost,
}

impl UrlRefusal {
    /// Whether an operator can permit the address.
    #[must_use]
    pub const fn is_about_the_address(&self) -> bool {
        matches!(self, Self::NotPublic(_) | Self::Localhost)
    }
}

impl PublicUrl {
    /// Checks length, scheme, credentials and port, and the address if the host is an IP address in any
    /// notation: the WHATWG parser also reads decimal, octal and hexadecimal ones.
    pub fn parse(text: &str, policy: &IpPolicy) -> Result<Self, UrlRefusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlRefusal::TooLong);
        }
        let url = Url::parse(text).map_err(UrlRefusal::Malformed)?;
        // Percent-encoding makes a URL longer, and the encoded form is stored and parsed again.
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
            Some(Host::Domain(name)) if is_localhost(name) => {
                let reached = LOOPBACK.iter().any(|address| policy.permits(*address));
                return if reached { Ok(Self(url)) } else { Err(UrlRefusal::Localhost) };
            }
            _ => None,
        };
        match literal {
            Some(address) if !policy.permits(address) => Err(UrlRefusal::NotPublic(address)),
            _ => Ok(Self(url)),
        }
    }

    /// Host and port, which identify a webhook lane together with the user.
    #[must_use]
    pub fn lane_host(&self) -> String {
        let host = without_root(self.0.host_str().unwrap_or_default());
        format!("{host}:{}", self.0.port_or_known_default().unwrap_or_default())
    }

    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_wrong() {
        let refusal = |text: &str| PublicUrl::parse(text, &IpPolicy::default()).unwrap_err().to_string();
        assert!(refusal(&format!("https://e.com/{}", "x".repeat(2048))).contains("longer"));
        assert!(refusal("/hook").contains("absolute"));
        assert!(refusal("ftp://e.com/").contains("https://"));
        assert!(refusal("https://u:p@e.com/").contains("password"));
        assert!(refusal("https://e.com:22/").contains("port 22"));
        for literal in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0x7f.1",
            "0X7F000001",
            "127.1",
            "0",
            "%31%32%37.0.0.1",
            "\u{2460}\u{2461}\u{2466}.0.0.1",
            "127\u{3002}0\u{3002}0\u{3002}1",
            "[::1]",
            "[::]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
        ] {
            let text = refusal(&format!("http://{literal}:8080/"));
            assert!(text.contains("not a public address") && text.contains("use a public host"), "{literal}");
        }
    }

    #[test]
    fn localhost_and_names_below_it_need_a_loopback_network() {
        let policy = |networks: &[&str]| {
            IpPolicy::new(networks.iter().map(|network| network.parse().unwrap()).collect())
        };
        for name in [
            "localhost",
            "LocalHost",
            "localhost.",
            "loc%61lhost",
            "\u{ff4c}ocalhost",
            "a.localhost",
            "a.b.localhost.",
        ] {
            let url = format!("http://{name}:3000/hook");
            assert_eq!(PublicUrl::parse(&url, &IpPolicy::default()), Err(UrlRefusal::Localhost), "{name}");
            assert_eq!(
                PublicUrl::parse(&url, &policy(&["10.0.0.0/8"])),
                Err(UrlRefusal::Localhost),
                "{name}"
            );
            for opened in ["127.0.0.0/8", "::1/128"] {
                assert!(PublicUrl::parse(&url, &policy(&[opened])).is_ok(), "{name} {opened}");
            }
        }
        assert!(UrlRefusal::Localhost.to_string().contains("not a public address"));
        for name in ["notlocalhost", "localhost.example.com", "localhost.."] {
            let parsed = PublicUrl::parse(&format!("http://{name}/"), &IpPolicy::default());
            assert_ne!(parsed, Err(UrlRefusal::Localhost), "{name}");
        }
    }

    #[test]
    fn lane_host_is_host_and_port() {
        let parse = |text: &str| PublicUrl::parse(text, &IpPolicy::default()).unwrap().lane_host();
        assert_eq!(parse("https://Example.com/a"), "example.com:443");
        assert_eq!(parse("http://example.com:8080/a"), "example.com:8080");
        assert_eq!(parse("https://example.com./a"), "example.com:443", "the same host");
    }
}
