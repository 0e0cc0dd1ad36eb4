//! Resolves a host and checks its addresses right before the connection is made. A name that resolves to
//! another address each time (DNS rebinding) therefore gains nothing.

use std::error::Error;
use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shared::net::ip_policy::IpPolicy;

#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
pub(crate) struct NotPublic;

/// Uses the name servers of the system.
#[derive(Clone)]
pub(crate) struct PublicResolver {
    dns: TokioResolver,
    policy: IpPolicy,
}

impl PublicResolver {
    pub(crate) fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        Ok(Self { dns: TokioResolver::builder_tokio()?.build()?, policy })
    }

    /// Returns all addresses of the host or fails. One address that is not permitted rejects the whole
    /// answer, because an answer with public and private addresses is typical of an attack.
    async fn lookup(&self, host: &str) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let answer = self.dns.lookup_ip(host).await?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() || addresses.iter().any(|address| !self.policy.permits(*address)) {
            return Err(NotPublic.into());
        }
        // reqwest replaces port 0 with the port of the URL.
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move { Ok(Box::new(resolver.lookup(name.as_str()).await?.into_iter()) as Addrs) })
    }
}
