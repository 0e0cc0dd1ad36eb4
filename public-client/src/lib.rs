//! The HTTP client for addresses that users and models give: webhooks and `fetch_url`. No other code may send
//! a request to such an address, because this client enforces the rules for all of them. Searches use it too,
//! with a policy that permits the operator's own addresses.
//!
//! - Every address must be permitted by the [`IpPolicy`]: a literal when the URL is parsed, at each redirect
//!   too; a resolved one right before the connection (see [`resolver`]).
//! - No proxy, no cookies, no decompression (a small body cannot become a large one).
//! - Each request resolves and checks its host again, and opens a connection. A client that keeps connections
//!   ([`PublicClient::keeping_connections`]) sends several requests to the address that it checked.
//! - The caller may refuse each URL of a GET (see [`Hops`]).
//! - One deadline covers a request from connecting to the last byte; the body is read up to a cap.
//! - Every failure is a [`RequestFailure`].

mod connect;
mod exchange;
mod failure;
mod head_limit;
mod hops;
mod kept;
mod resolver;
mod response;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request};
use rustls::ClientConfig;
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

pub use hops::{GetFailure, Hops};
pub use hyper::header;
pub use response::{Body, BodyEnd, Response};

use connect::Connector;
use exchange::{Exchange, Open};
use kept::Kept;

/// The usual [`Limits::connect`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A kept connection that the server closed while it was idle fails within this time. A request that
/// fails later was at the server, which may have handled it: it answers no second request of a connection.
const CLOSED_WHILE_IDLE: Duration = Duration::from_millis(100);
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

/// What a client takes from its machine. Tests have a name server and a certificate authority of their own.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub tls: ClientConfig,
    /// `None`: the name servers and the hosts file of the system.
    pub name_server: Option<SocketAddr>,
}

pub struct PublicClient {
    connector: Connector,
    user_agent: HeaderValue,
    policy: IpPolicy,
    limits: Limits,
    kept: Option<Arc<Kept>>,
}

impl PublicClient {
    /// A client that trusts the certificate authorities of the system.
    pub fn new(user_agent: &str, policy: IpPolicy, limits: Limits) -> anyhow::Result<Self> {
        let surroundings = Surroundings { tls: shared::tls::client_config()?, name_server: None };
        Self::within(user_agent, policy, limits, surroundings)
    }

    pub fn within(
        user_agent: &str,
        policy: IpPolicy,
        limits: Limits,
        surroundings: Surroundings,
    ) -> anyhow::Result<Self> {
        let connector = Connector::new(policy.clone(), surroundings)?;
        Ok(Self { connector, user_agent: user_agent.parse()?, policy, limits, kept: None })
    }

    /// The same client, which keeps connections for a short time. Its requests must be safe to repeat: if the
    /// server closes a kept connection, the request is sent again over a new one.
    #[must_use]
    pub fn keeping_connections(self) -> Self {
        Self { kept: Some(Arc::default()), ..self }
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
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let request = request(Method::GET, headers, Bytes::new());
            let response = self.send(checked, request, deadline).await?;
            match redirect_target(&response) {
                Some(target) => url = target,
                None => return Ok(response),
            }
        }
        Err(RequestFailure::TooManyRedirects.into())
    }

    /// Sends a GET with headers. A redirect is returned and not followed: it would send them to another host.
    pub async fn get_once(&self, url: &str, mut headers: HeaderMap) -> Result<Response, RequestFailure> {
        let checked = PublicUrl::parse(url, &self.policy)?;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let request = request(Method::GET, headers, Bytes::new());
        self.send(checked, request, Instant::now() + self.limits.total).await
    }

    /// Sends a POST. A redirect is returned and not followed: it would send the body to another host.
    pub async fn post(
        &self,
        url: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response, RequestFailure> {
        let checked = PublicUrl::parse(url, &self.policy)?;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let request = request(Method::POST, headers, body.into());
        self.send(checked, request, Instant::now() + self.limits.total).await
    }

    async fn send(
        &self,
        url: PublicUrl,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Response, RequestFailure> {
        address(&mut request, url.url())?;
        request.headers_mut().insert(USER_AGENT, self.user_agent.clone());
        let kept = self.send_over_kept(url.url(), &request, deadline).await?;
        let mut answer = if let Some(answer) = kept {
            answer
        } else {
            let connected = deadline.min(Instant::now() + self.limits.connect);
            let (stream, peer) = self.connector.connect(url.url(), connected).await?;
            let sending = async { Open::new(stream, peer).await?.send(request).await };
            timeout_at(deadline, sending).await.map_err(|_| RequestFailure::Timeout)??
        };
        answer.kept = self.kept.as_ref().map(|kept| (Arc::clone(kept), origin(url.url()).to_owned()));
        Ok(Response::new(url, answer, deadline, self.limits.body_bytes))
    }

    /// `None` if there is no kept connection, or if the server closed it meanwhile.
    async fn send_over_kept(
        &self,
        url: &Url,
        request: &Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Option<Exchange>, RequestFailure> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let Some(mut open) = kept.take(origin(url)) else { return Ok(None) };
        if !open.is_ready().await {
            return Ok(None);
        }
        let sent = Instant::now();
        match timeout_at(deadline, open.send(request.clone())).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(RequestFailure::ConnectionClosed | RequestFailure::ConnectionReset)) => {
                if sent.elapsed() > CLOSED_WHILE_IDLE {
                    kept.distrust(origin(url).to_owned());
                }
                Ok(None)
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                kept.distrust(origin(url).to_owned());
                Err(RequestFailure::Timeout)
            }
        }
    }
}

fn origin(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

fn request(method: Method, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

/// Sets target and host. The port is left out if it is the usual one of the scheme. A parsed URL holds only
/// characters that both may hold.
fn address(request: &mut Request<Full<Bytes>>, url: &Url) -> Result<(), RequestFailure> {
    let target = url[Position::BeforePath..Position::AfterQuery].parse();
    let host = url[Position::BeforeHost..Position::AfterPort].parse();
    *request.uri_mut() = target.map_err(|_| RequestFailure::ConnectFailed)?;
    request.headers_mut().insert(HOST, host.map_err(|_| RequestFailure::ConnectFailed)?);
    Ok(())
}

fn redirect_target(response: &Response) -> Option<String> {
    let location = response.header(LOCATION).filter(|_| response.is_redirect())?;
    response.url().join(location).ok().map(Into::into)
}
