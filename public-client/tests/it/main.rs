//! The client against real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod failures;
mod requests;
mod server;

use std::time::Duration;

use public_client::{CONNECT_TIMEOUT, Limits, PublicClient};
use shared::net::ip_policy::IpPolicy;

const LIMITS: Limits =
    Limits { connect: CONNECT_TIMEOUT, total: Duration::from_secs(10), body_bytes: 10_000 };

/// A client that may reach the test servers.
fn client(limits: Limits) -> PublicClient {
    let policy = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    PublicClient::new("test/1", policy, limits).unwrap()
}
