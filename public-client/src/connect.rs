//! Connects to the host of a URL. Every address is checked right before the connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::without_root;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::Surroundings;
use crate::failure::{connect_failure, tls_failure};
use crate::resolver::PublicResolver;

/// Addresses of one host that are tried, one after another.
const MAX_ADDRESSES: usize = 8;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) struct Connector {
    resolver: PublicResolver,
    tls: TlsConnector,
}

impl Connector {
    pub(crate) fn new(policy: IpPolicy, surroundings: Surroundings) -> anyhow::Result<Self> {
        let Surroundings { tls, name_server } = surroundings;
        let resolver = PublicResolver::new(policy, name_server)?;
        Ok(Self { resolver, tls: TlsConnector::from(Arc::new(tls)) })
    }

    /// Connects before the deadline, or says which stage was not over then. Returns the address too. `url` is
    /// one of `PublicUrl`, so a literal address in it is permitted.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        deadline: Instant,
    ) -> Result<(Box<dyn Stream>, IpAddr), RequestFailure> {
        let (name, addresses) = match url.host() {
            Some(Host::Domain(name)) => {
                let server = ServerName::try_from(without_root(name).to_owned());
                let resolved = timeout_at(deadline, self.resolver.lookup(name)).await;
                let addresses = resolved.map_err(|_| RequestFailure::DnsTimeout)??;
                (server.map_err(|_| RequestFailure::DnsFailed)?, addresses)
            }
            Some(Host::Ipv4(address)) => (ServerName::from(IpAddr::V4(address)), vec![address.into()]),
            Some(Host::Ipv6(address)) => (ServerName::from(IpAddr::V6(address)), vec![address.into()]),
            None => return Err(RequestFailure::DnsFailed),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let (stream, peer) = connect_to_one(&addresses, port, deadline).await?;
        if url.scheme() == "http" {
            return Ok((Box::new(stream), peer));
        }
        let encrypted = timeout_at(deadline, self.tls.connect(name, stream)).await;
        let stream =
            encrypted.map_err(|_| RequestFailure::TlsTimeout)?.map_err(|error| tls_failure(&error))?;
        Ok((Box::new(stream), peer))
    }
}

/// Each address gets an equal share of the time that is left.
async fn connect_to_one(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Result<(TcpStream, IpAddr), RequestFailure> {
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let mut failure = RequestFailure::ConnectFailed;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        left -= 1;
        match timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                // The request is written at once. Without effect if it fails.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(error)) => failure = connect_failure(error.kind()),
            Err(_) => failure = RequestFailure::ConnectTimeout,
        }
    }
    Err(failure)
}
