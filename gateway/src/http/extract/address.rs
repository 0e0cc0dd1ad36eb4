//! The address of the client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::FORWARDED;
use ipnet::IpNet;
use shared::net::ip_policy::is_public;

/// Who sent a request, as far as can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The peer. Behind trusted proxies: the last address in X-Forwarded-For that is not a trusted proxy. The
    /// addresses before it are the claim of the client.
    pub address: IpAddr,
    /// The address is likely to be a proxy that CAPI_TRUSTED_PROXIES lacks: the request says that it was
    /// forwarded.
    pub unlisted_proxy: bool,
}

impl Client {
    #[must_use]
    pub fn of(request: &HttpRequest, trusted: &[IpNet]) -> Self {
        let peer =
            request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
        // A line that is not text must not vanish: the entries before it would count as nearer.
        let lines = request.headers().get_all("x-forwarded-for");
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let found = behind_proxies(peer, &lines.join(","), trusted);
        let forwarded = found.address == peer && request.headers().contains_key(FORWARDED);
        Self { unlisted_proxy: found.unlisted_proxy || (forwarded && !is_in(peer, trusted)), ..found }
    }
}

fn behind_proxies(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> Client {
    let mut address = peer;
    // RFC 9110: a list may have empty entries.
    let mut entries = forwarded.rsplit(',').map(str::trim).filter(|entry| !entry.is_empty());
    while is_in(address, trusted) {
        match entries.next().and_then(parse) {
            Some(nearer) => address = nearer,
            None => return Client { address, unlisted_proxy: false },
        }
    }
    // What a public address claims behind a trusted proxy is more likely an invention of the client.
    let unlisted_proxy = entries.next().is_some() && (address == peer || !is_public(address));
    Client { address, unlisted_proxy }
}

fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Reads an entry: an address, some proxies add the port, and an IPv6 address may be in brackets.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = entry.parse::<IpAddr>().ok().or_else(bare);
    address.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip())).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec()
    }

    fn found(peer: &str, forwarded: &str) -> String {
        behind_proxies(peer.parse().unwrap(), forwarded, &trusted()).address.to_string()
    }

    #[test]
    fn only_trusted_proxies_may_name_the_client() {
        assert_eq!(found("192.0.2.1", "198.51.100.7"), "192.0.2.1", "the claim of an untrusted peer");
        assert_eq!(found("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(
            found("10.0.0.1", "1.1.1.1, 198.51.100.7"),
            "198.51.100.7",
            "the last address that is no proxy"
        );
        assert_eq!(found("10.0.0.1", "198.51.100.7, fd00::2"), "198.51.100.7", "two proxies");
        assert_eq!(found("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(found("10.0.0.1", "198.51.100.7, unknown"), "10.0.0.1");
    }

    #[test]
    fn entries_may_have_ports_brackets_and_spaces() {
        for (forwarded, expected) in [
            ("198.51.100.7:5678", "198.51.100.7"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            (" 1.1.1.1 ,, 198.51.100.7:1 ,\t10.0.0.2:80 , ", "198.51.100.7"),
            ("198.51.100.7, [fd00::2]:8080", "198.51.100.7"),
            ("198.51.100.7, 1.2.3.4:99999", "10.0.0.1"),
            ("198.51.100.7, _hidden, 10.0.0.2", "10.0.0.2"),
            ("198.51.100.7, fe80::1%eth0", "10.0.0.1"),
        ] {
            assert_eq!(found("10.0.0.1", forwarded), expected, "{forwarded}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_a_broken_line_ends_it() {
        let client = |lines: &[&[u8]]| {
            let peer = SocketAddr::from(([10, 0, 0, 1], 4000));
            let request = lines.iter().fold(TestRequest::default().peer_addr(peer), |request, line| {
                let value = actix_web::http::header::HeaderValue::from_bytes(line).unwrap();
                request.append_header(("x-forwarded-for", value))
            });
            Client::of(&request.to_http_request(), &trusted()).address.to_string()
        };
        assert_eq!(client(&[b"1.1.1.1", b"198.51.100.7:1", b"10.0.0.2"]), "198.51.100.7");
        assert_eq!(client(&[b"1.1.1.1", b"\xff"]), "10.0.0.1");
    }

    #[test]
    fn a_request_that_was_forwarded_by_a_stranger_shows_an_unlisted_proxy() {
        let unlisted = |peer: &str, forwarded: &str| {
            behind_proxies(peer.parse().unwrap(), forwarded, &trusted()).unlisted_proxy
        };
        assert!(unlisted("172.16.0.1", "198.51.100.7"));
        assert!(unlisted("10.0.0.1", "198.51.100.7, 172.16.0.1"), "a second proxy");
        assert!(!unlisted("10.0.0.1", "198.51.100.7"));
        assert!(!unlisted("10.0.0.1", "1.1.1.1, 2.2.2.2"), "the client may have sent the first");
        assert!(!unlisted("172.16.0.1", " , "));
        let request = TestRequest::default().insert_header((FORWARDED, "for=198.51.100.7"));
        let request = request.peer_addr(SocketAddr::from(([172, 16, 0, 1], 4000))).to_http_request();
        assert!(Client::of(&request, &trusted()).unlisted_proxy);
        assert!(!Client::of(&request, &["172.16.0.0/12".parse().unwrap()]).unlisted_proxy);
    }
}
