//! Which sockets a command can make, and which of their options it can set.
//!
//! A command has Unix sockets, and TCP and UDP in a network of its own that has only the loopback: tests can
//! start a server. Left out is what belongs to no program of that kind and has a history of escapes (raw
//! sockets, netlink, other protocols), or takes memory that no limit counts.

use std::collections::BTreeMap;

use seccompiler::{Error, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The kernel takes four bits as the type of a socket: SOCK_STREAM is 1, SOCK_DGRAM is 2.
const ALLOWED_TYPES: u64 = 3;
const OTHER_TYPES: [u64; 2] = [4, 8];

/// Options of TCP: TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT,
/// TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_USER_TIMEOUT and TCP_NOTSENT_LOWAT.
const OF_TCP: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 18, 25];
/// Options of IPv4: IP_TOS, IP_TTL, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IP_RECVTOS, and what
/// multicast uses if nothing joins a group (IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP,
/// IP_MULTICAST_ALL): Java sets these for each UDP socket.
const OF_IP: [u64; 11] = [1, 2, 8, 10, 11, 12, 13, 32, 33, 34, 49];
/// The same of IPv6: IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP,
/// IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_V6ONLY, IPV6_MULTICAST_ALL, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT,
/// IPV6_RECVTCLASS and IPV6_TCLASS.
const OF_IPV6: [u64; 12] = [16, 17, 18, 19, 23, 25, 26, 29, 49, 51, 66, 67];
/// SO_ZEROCOPY: a socket would hold whole pages of the program and count only the bytes.
const ZEROCOPY: i32 = 60;
/// TCP_ZEROCOPY_RECEIVE: a mapping would hold whole pages of the socket and count only the bytes.
const ZEROCOPY_RECEIVE: u64 = 35;

fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Error> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(Error::Backend)
}

fn number(value: i32) -> u64 {
    value.unsigned_abs().into()
}

fn is_none_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompCondition>, Error> {
    values.iter().map(|value| is(argument, SeccompCmpOp::Ne, *value)).collect()
}

/// Calls of `socket` to refuse.
pub(super) fn refused_sockets() -> Result<Vec<SeccompRule>, Error> {
    let other_families = is_none_of(0, &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(number))?;
    let of_the_network = || is(0, SeccompCmpOp::Ne, number(libc::AF_UNIX));
    let has_type = |mask, value| {
        let conditions = vec![of_the_network()?, is(1, SeccompCmpOp::MaskedEq(mask), value)?];
        Ok::<_, Error>(SeccompRule::new(conditions)?)
    };
    let mut other_protocols = vec![of_the_network()?];
    let protocols = [0, number(libc::IPPROTO_TCP), number(libc::IPPROTO_UDP)];
    other_protocols.extend(is_none_of(2, &protocols)?);
    let [low, high] = OTHER_TYPES;
    Ok(vec![
        SeccompRule::new(other_families)?,
        has_type(ALLOWED_TYPES, 0)?,
        has_type(ALLOWED_TYPES, ALLOWED_TYPES)?,
        has_type(low, low)?,
        has_type(high, high)?,
        SeccompRule::new(other_protocols)?,
    ])
}

/// Options that answer as on a kernel that does not know them. Some of them keep memory that no limit counts:
/// groups of multicast, keys of TCP, lists of sources.
pub(super) fn unknown_options() -> Result<Rules, Error> {
    let other_than = |level: i32, options: &[u64]| {
        let mut conditions = vec![is(1, SeccompCmpOp::Eq, number(level))?];
        conditions.extend(is_none_of(2, options)?);
        Ok::<_, Error>(SeccompRule::new(conditions)?)
    };
    let levels = [libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP, libc::IPPROTO_IPV6];
    let zerocopy =
        vec![is(1, SeccompCmpOp::Eq, number(libc::SOL_SOCKET))?, is(2, SeccompCmpOp::Eq, number(ZEROCOPY))?];
    let receive =
        vec![is(1, SeccompCmpOp::Eq, number(libc::IPPROTO_TCP))?, is(2, SeccompCmpOp::Eq, ZEROCOPY_RECEIVE)?];
    let set = vec![
        SeccompRule::new(is_none_of(1, &levels.map(number))?)?,
        SeccompRule::new(zerocopy)?,
        other_than(libc::IPPROTO_TCP, &OF_TCP)?,
        other_than(libc::IPPROTO_IP, &OF_IP)?,
        other_than(libc::IPPROTO_IPV6, &OF_IPV6)?,
    ];
    Ok(BTreeMap::from([
        (libc::SYS_setsockopt, set),
        (libc::SYS_getsockopt, vec![SeccompRule::new(receive)?]),
    ]))
}
