//! Resolves a host and lets only permitted addresses through, right before a connection is made: a name that
//! changes its mind between two look-ups (DNS rebinding) gains nothing.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;

use super::ip_policy::IpPolicy;

/// None of a host's addresses may be reached.
#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
pub struct NotPublic;

impl NotPublic {
    /// Whether this is why a client's request failed: somewhere in the chain of causes.
    #[must_use]
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<Self>)
    }
}

/// Look-ups under an address policy.
#[derive(Clone)]
pub struct PublicResolver {
    dns: TokioResolver,
    policy: IpPolicy,
}

impl PublicResolver {
    /// Asks the system's name servers.
    pub fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        Ok(Self { dns: TokioResolver::builder_tokio()?.build()?, policy })
    }

    /// The host's addresses, with port 0: all of them, or none. One that is not permitted spoils the answer: a mixed
    /// one is what an attack looks like.
    pub async fn resolve(
        &self,
        host: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.dns.lookup_ip(host).await?;
        let addresses: Vec<_> = found.iter().collect();
        if addresses.is_empty() || addresses.iter().any(|address| !self.policy.permits(*address)) {
            return Err(NotPublic.into());
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}
