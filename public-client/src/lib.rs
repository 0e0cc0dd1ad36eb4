//! The HTTP client for addresses that users and models give: webhooks and `fetch_url`. No other code may send
//! a request to such an address, because this client enforces the rules for all of them:
//!
//! - Every address must be permitted by the [`IpPolicy`]: a literal when the URL is parsed, at each redirect
//!   too; a resolved one right before the connection (see [`resolver`]).
//! - No proxy, no cookies, no decompression (a small body cannot become a large one), no reused connection
//!   (each request resolves and checks its host again).
//! - The caller may refuse each URL of a GET (see [`Hops`]).
//! - One deadline covers a request from connecting to the last byte; the body is read up to a cap.
//! - Every failure is a [`RequestFailure`].

mod failure;
mod hops;
mod resolver;
mod response;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;
use tokio::time::{Instant, timeout_at};

pub use hops::{GetFailure, Hops};
pub use reqwest::header;
pub use response::{Body, BodyEnd, Response};

use failure::classify;
use resolver::PublicResolver;

/// The usual [`Limits::connect`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Redirects that one [`PublicClient::get`] follows.
pub const MAX_REDIRECTS: usize = 5;

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the host's resolution, the TCP connection and the TLS handshake together.
    pub connect: Duration,
    /// From the first connection to the last byte of the body, redirects included.
    pub total: Duration,
    /// Bytes of a body that are read. The rest is dropped.
    pub body_bytes: usize,
}

pub struct PublicClient {
    http: Client,
    policy: IpPolicy,
    limits: Limits,
}

impl PublicClient {
    pub fn new(user_agent: &str, policy: IpPolicy, limits: Limits) -> anyhow::Result<Self> {
        let http = Client::builder()
            .user_agent(user_agent)
            .dns_resolver(Arc::new(PublicResolver::new(policy.clone())?))
            .connect_timeout(limits.connect)
            .no_proxy()
            // `get` follows redirects itself: reqwest does not resolve a literal, so nothing would check it.
            .redirect(Policy::none())
            .http1_only()
            .pool_max_idle_per_host(0)
            // Without effect while reqwest is compiled without these features. Another crate may enable them.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()?;
        Ok(Self { http, policy, limits })
    }

    /// Sends a GET and follows at most [`MAX_REDIRECTS`] redirects. `hops` may refuse each of the URLs.
    pub async fn get(
        &self,
        url: &str,
        accept: &'static str,
        hops: &impl Hops,
    ) -> Result<Response, GetFailure> {
        let deadline = Instant::now() + self.limits.total;
        let mut url = url.to_owned();
        for redirects in 0..=MAX_REDIRECTS {
            let checked = PublicUrl::parse(&url, &self.policy).map_err(RequestFailure::from)?;
            hops.check(checked.url(), redirects).await.map_err(GetFailure::Refused)?;
            let request = self.http.get(checked.url().clone()).header(ACCEPT, accept);
            let response = self.send(checked, request, deadline).await?;
            match redirect_target(&response) {
                Some(target) => url = target,
                None => return Ok(response),
            }
        }
        Err(RequestFailure::TooManyRedirects.into())
    }

    /// Sends a POST. A redirect is returned and not followed: it would send the body to another host.
    pub async fn post(
        &self,
        url: &str,
        headers: header::HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response, RequestFailure> {
        let checked = PublicUrl::parse(url, &self.policy)?;
        let request = self.http.post(checked.url().clone()).headers(headers).body(body);
        self.send(checked, request, Instant::now() + self.limits.total).await
    }

    async fn send(
        &self,
        url: PublicUrl,
        request: RequestBuilder,
        deadline: Instant,
    ) -> Result<Response, RequestFailure> {
        let sent = timeout_at(deadline, request.send()).await.map_err(|_| RequestFailure::Timeout)?;
        let inner = sent.map_err(|error| classify(&error))?;
        Ok(Response::new(url, inner, deadline, self.limits.body_bytes))
    }
}

fn redirect_target(response: &Response) -> Option<String> {
    let location = response.header(LOCATION).filter(|_| response.is_redirect())?;
    response.url().join(location).ok().map(Into::into)
}
