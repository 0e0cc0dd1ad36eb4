//! The address of the client.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The peer. Behind trusted proxies: the last address in X-Forwarded-For that is not a trusted proxy. The
/// addresses before it are the claim of the client.
#[must_use]
pub fn client_address(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    behind_proxies(peer, &forwarded.collect::<Vec<_>>().join(","), trusted)
}

fn behind_proxies(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    for claimed in forwarded.rsplit(',') {
        if !is_trusted(&nearest) {
            break;
        }
        match claimed.trim().parse::<IpAddr>() {
            Ok(address) => nearest = address.to_canonical(),
            Err(_) => break,
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_may_name_the_client() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let found = |peer: &str, forwarded: &str| {
            behind_proxies(peer.parse().unwrap(), forwarded, &trusted).to_string()
        };
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
}
