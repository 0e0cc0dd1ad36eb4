//! Where programs of a test's own listen.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;

/// Below those from which the kernel takes the ports of outgoing connections: else one of these could have a port while the
/// program that listens there is restarted.
const PORTS: Range<u16> = 20_000..32_000;

/// Ports that were free a moment ago, each somewhere else.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| free_port());
    listeners.map(|listener| listener.local_addr().expect("a listener has an address").port())
}

fn free_port() -> TcpListener {
    let random = RandomState::new().hash_one(());
    let first = usize::try_from(random % u64::from(PORTS.end - PORTS.start)).unwrap_or_default();
    let mut ports = PORTS.cycle().skip(first).take(PORTS.len());
    ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("loopback has a free port")
}
