//! Where programs of a test's own listen.

/// Ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [std::net::TcpListener; N] = std::array::from_fn(|_| {
        std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port")
    });
    listeners.map(|listener| listener.local_addr().expect("a listener has an address").port())
}
