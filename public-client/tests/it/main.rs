//! The client against real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod failures;
mod names;
mod requests;

use std::time::Duration;

use public_client::{CONNECT_TIMEOUT, GetFailure, Hops, Limits, PublicClient, Response};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use url::Url;

const LIMITS: Limits =
    Limits { connect: CONNECT_TIMEOUT, total: Duration::from_secs(10), body_bytes: 10_000 };

/// A client that may reach the test servers.
fn client(limits: Limits) -> PublicClient {
    let policy = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    PublicClient::new("test/1", policy, limits).unwrap()
}

/// Refuses nothing.
struct EveryHop;

impl Hops for EveryHop {
    async fn check(&self, _: &Url, _: usize) -> Result<(), String> {
        Ok(())
    }
}

async fn get(client: &PublicClient, url: &str) -> Result<Response, RequestFailure> {
    client.get(url, "*/*", &EveryHop).await.map_err(|failure| match failure {
        GetFailure::Request(failure) => failure,
        GetFailure::Refused(why) => panic!("{why}"),
    })
}
