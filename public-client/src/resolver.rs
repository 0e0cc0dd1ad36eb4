//! Resolves a host and checks its addresses right before the connection is made. A name that resolves to
//! another address each time (DNS rebinding) therefore gains nothing.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::{LOOPBACK, is_localhost};

pub(crate) struct PublicResolver {
    dns: TokioResolver,
    policy: IpPolicy,
}

impl PublicResolver {
    pub(crate) fn new(policy: IpPolicy, name_server: Option<SocketAddr>) -> anyhow::Result<Self> {
        let dns = match name_server {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let mut server = NameServerConfig::udp(address.ip());
                for connection in &mut server.connections {
                    connection.port = address.port();
                }
                let config = ResolverConfig::from_parts(None, vec![], vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        Ok(Self { dns: dns.build()?, policy })
    }

    /// Returns the addresses of the host that may be connected ([`IpPolicy::select`]).
    pub(crate) async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, RequestFailure> {
        if is_localhost(host) {
            return self.policy.select(&LOOPBACK);
        }
        let answer = self.dns.lookup_ip(host).await.map_err(|_| RequestFailure::DnsFailed)?;
        self.policy.select(&answer.iter().collect::<Vec<_>>())
    }
}
