//! Which IP addresses are public, from IANA's special-purpose address registries (RFC 6890 and successors).
//! IPv6 addresses that embed an IPv4 address (mapped, NAT64, 6to4, Teredo) are not public, because the
//! embedded address could be private.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::failure::RequestFailure;

const NON_PUBLIC_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's host agent
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3), // multicast, reserved, broadcast
];

/// Exceptions within 2000::/3, the only global unicast space. Every address outside 2000::/3 is non-public.
const NON_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Permits public addresses and the networks that the operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpPolicy {
    allowed: Vec<IpNet>,
}

impl IpPolicy {
    #[must_use]
    pub const fn only_public() -> Self {
        Self { allowed: Vec::new() }
    }

    /// Permits every address. Only for addresses that the operator gives.
    #[must_use]
    pub fn any() -> Self {
        Self { allowed: vec![Ipv4Net::default().into(), Ipv6Net::default().into()] }
    }

    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.opens(address)
    }

    /// The addresses of one host that may be connected. An answer with public and private addresses is
    /// typical of an attack, so one forbidden address rejects the whole answer. There is an exception: if the
    /// operator opened the networks of all others, these are connected. So `localhost` works although only
    /// 127.0.0.0/8 is opened.
    pub fn select(&self, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, RequestFailure> {
        let (permitted, forbidden): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().partition(|address| self.permits(**address));
        if permitted.is_empty() {
            Err(RequestFailure::AddressNotAllowed)
        } else if !forbidden.is_empty() && !permitted.iter().all(|address| self.opens(*address)) {
            Err(RequestFailure::AddressesMixed)
        } else {
            Ok(permitted)
        }
    }

    fn opens(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

/// Whether everyone on the internet can reach the address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NON_PUBLIC_V4.iter().any(|(base, bits)| {
            let mask = u32::MAX << (32 - u32::from(*bits));
            v4.to_bits() & mask == base.to_bits() & mask
        }),
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xe000 == 0x2000
                && !NON_PUBLIC_V6.iter().any(|(base, bits)| {
                    let mask = u128::MAX << (128 - u32::from(*bits));
                    v6.to_bits() & mask == base.to_bits() & mask
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_public_addresses_are_refused_and_public_ones_permitted() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.7",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "2002:a00:1::",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(!IpPolicy::default().permits(text.parse().unwrap()), "{text} must be refused");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "172.32.0.1",
            "192.167.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(IpPolicy::default().permits(text.parse().unwrap()), "{text} must be permitted");
        }
    }

    #[test]
    fn a_mixed_answer_is_refused_unless_the_operator_opened_the_rest() {
        use RequestFailure::{AddressNotAllowed, AddressesMixed};
        let policy = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()]);
        let select = |policy: &IpPolicy, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let selected = policy.select(&addresses)?;
            Ok(selected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        for (addresses, expected) in [
            (&["127.0.0.1", "::1"][..], Ok("127.0.0.1")),
            (&["::1", "10.1.2.3", "127.0.0.1"], Ok("10.1.2.3 127.0.0.1")),
            (&["8.8.8.8", "2606:4700::1111"], Ok("8.8.8.8 2606:4700::1111")),
            (&["8.8.8.8", "127.0.0.1"], Ok("8.8.8.8 127.0.0.1")),
            (&["8.8.8.8", "10.2.0.1"], Err(AddressesMixed)),
            (&["8.8.8.8", "127.0.0.1", "::1"], Err(AddressesMixed)),
            (&["::1"], Err(AddressNotAllowed)),
            (&["10.2.0.1", "169.254.169.254"], Err(AddressNotAllowed)),
            (&[], Err(AddressNotAllowed)),
        ] {
            assert_eq!(select(&policy, addresses), expected.map(str::to_owned), "{addresses:?}");
        }
        assert_eq!(select(&IpPolicy::default(), &["8.8.8.8", "127.0.0.1"]), Err(AddressesMixed));
    }

    #[test]
    fn an_allowed_network_permits_no_other_network() {
        let policy = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(policy.permits("127.0.0.1".parse().unwrap()));
        assert!(!policy.permits("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!policy.permits("10.0.0.1".parse().unwrap()));
    }
}
