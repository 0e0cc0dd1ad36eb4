//! Ports for the programs that a test starts.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;

/// Below the kernel's range for outgoing connections. Otherwise one of those could take a port while the
/// program that listens there restarts.
const PORTS: Range<u16> = 20_000..32_000;

/// Different ports that are free.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| free_port());
    listeners.map(|listener| listener.local_addr().expect("a listener has an address").port())
}

fn free_port() -> TcpListener {
    let random = RandomState::new().hash_one(());
    let first = usize::try_from(random % u64::from(PORTS.end - PORTS.start)).unwrap_or_default();
    let mut ports = PORTS.cycle().skip(first).take(PORTS.len());
    ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("loopback has a free port")
}
