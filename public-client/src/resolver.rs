//! Resolves a host and checks its addresses right before the connection is made. A name that resolves to
//! another address each time (DNS rebinding) therefore gains nothing.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;

/// Uses the name servers of the system.
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
    pub(crate) async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, RequestFailure> {
        let answer = self.dns.lookup_ip(host).await.map_err(|_| RequestFailure::DnsFailed)?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() || addresses.iter().any(|address| !self.policy.permits(*address)) {
            return Err(RequestFailure::AddressNotAllowed);
        }
        Ok(addresses)
    }
}
