//! An entry of an allow-list of hosts: a host, or `*.` and a domain for all hosts below it.

use url::Host;

/// The most entries of one list. Each request compares its host with all of them.
pub const MAX_HOST_RULES: usize = 100;
/// The longest name in the DNS has 253 characters.
const MAX_BYTES: usize = 255;

/// An entry in the form in which [`url::Url::host_str`] writes hosts: lower case, IDNA, no dot at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: String,
    /// Whether it stands for all hosts below `host`, and not for `host` itself.
    below: bool,
}

/// What is wrong with an entry. The text continues a sentence whose subject is the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostRuleError {
    #[error("is empty or longer than {MAX_BYTES} bytes")]
    Length,
    #[error("allows every host; leave hosts out instead")]
    Everything,
    #[error("has a scheme, a port or a path; give only the host, for example example.org or *.example.org")]
    NotOnlyHost,
    #[error("is not a host name or an IP address; * may stand only for all of the first part: *.example.org")]
    Malformed,
}

impl HostRule {
    pub fn parse(text: &str) -> Result<Self, HostRuleError> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(HostRuleError::Length);
        }
        if text.trim_matches(['*', '.']).is_empty() {
            return Err(HostRuleError::Everything);
        }
        let (below, host) = text.strip_prefix("*.").map_or((false, text), |domain| (true, domain));
        if host.contains(['/', '?', '#', '@']) || (host.contains(':') && !host.starts_with('[')) {
            return Err(HostRuleError::NotOnlyHost);
        }
        if host.starts_with('[') && !host.ends_with(']') {
            return Err(HostRuleError::NotOnlyHost);
        }
        match Host::parse(host) {
            Ok(Host::Domain(domain)) if is_domain(&domain) => {
                Ok(Self { host: without_dot(&domain).to_owned(), below })
            }
            Ok(address @ (Host::Ipv4(_) | Host::Ipv6(_))) if !below => {
                Ok(Self { host: address.to_string(), below })
            }
            _ => Err(HostRuleError::Malformed),
        }
    }

    /// Whether it allows a host as [`url::Url::host_str`] writes it. Ports make no difference.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = without_dot(host);
        if !self.below {
            return host == self.host;
        }
        host.strip_suffix(&self.host)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty())
    }
}

impl std::fmt::Display for HostRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.below { "*." } else { "" })?;
        f.write_str(&self.host)
    }
}

/// A name with a dot at its end is the same name.
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn is_domain(domain: &str) -> bool {
    !domain.contains('*') && without_dot(domain).split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let url = Url::parse(url).unwrap();
        HostRule::parse(rule).unwrap().allows(url.host_str().unwrap())
    }

    #[test]
    fn an_exact_host_allows_itself_in_every_spelling() {
        for url in ["http://Example.ORG:8443/a", "https://example.org./", "https://ex%61mple.org/"] {
            assert!(allows("EXAMPLE.org", url), "{url}");
            assert!(allows("example.org.", url), "{url}");
        }
        for url in ["https://a.example.org/", "https://example.org.evil.net/", "https://badexample.org/"] {
            assert!(!allows("example.org", url), "{url}");
        }
        assert!(allows("bücher.example", "https://xn--bcher-kva.example/"));
        assert!(allows("BÜCHER.example", "https://bücher.example/"));
        assert!(allows("127.0.0.1", "http://2130706433/"));
        assert!(allows("[2001:db8::1]", "http://[2001:DB8:0::1]/"));
    }

    #[test]
    fn a_wildcard_allows_the_hosts_below_the_domain() {
        for url in ["https://a.example.org/", "https://b.a.Example.org./"] {
            assert!(allows("*.example.org", url), "{url}");
        }
        for url in ["https://example.org/", "https://aexample.org/", "https://example.org.evil.net/"] {
            assert!(!allows("*.example.org", url), "{url}");
        }
        assert_eq!(HostRule::parse(" *.Example.org. ").unwrap().to_string(), "*.example.org");
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_reason() {
        for (text, expected) in [
            ("", HostRuleError::Length),
            (&"a".repeat(256), HostRuleError::Length),
            ("*", HostRuleError::Everything),
            ("*.", HostRuleError::Everything),
            ("https://example.org", HostRuleError::NotOnlyHost),
            ("example.org/path", HostRuleError::NotOnlyHost),
            ("example.org:443", HostRuleError::NotOnlyHost),
            ("[::1]:443", HostRuleError::NotOnlyHost),
            ("me@example.org", HostRuleError::NotOnlyHost),
            ("a.*.example.org", HostRuleError::Malformed),
            ("a*.example.org", HostRuleError::Malformed),
            ("*.*.example.org", HostRuleError::Malformed),
            ("*.127.0.0.1", HostRuleError::Malformed),
            ("exa mple.org", HostRuleError::Malformed),
            ("example..org", HostRuleError::Malformed),
        ] {
            assert_eq!(HostRule::parse(text), Err(expected), "{text}");
        }
    }
}
