//! Resolves a host and lets only permitted addresses through, right before the connection is made: a name that
//! changes its mind between two look-ups (DNS rebinding) gains nothing.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shared::net::ip_policy::IpPolicy;

/// None of a host's addresses may be reached.
#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
pub(super) struct NotPublic;

pub(super) struct PublicResolver {
    dns: TokioResolver,
    policy: IpPolicy,
}

impl PublicResolver {
    pub(super) fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        Ok(Self { dns: TokioResolver::builder_tokio()?.build()?, policy })
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (dns, policy) = (self.dns.clone(), self.policy.clone());
        Box::pin(async move {
            let found = dns.lookup_ip(name.as_str()).await?;
            let addresses: Vec<_> = found.iter().collect();
            // One bad address spoils the answer: a mixed one is what an attack looks like.
            if addresses.is_empty() || addresses.iter().any(|address| !policy.permits(*address)) {
                return Err(NotPublic.into());
            }
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
