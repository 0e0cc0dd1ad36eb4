//! The shared resolver as reqwest takes it.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shared::net::resolver::PublicResolver;

pub(super) struct Resolver(pub(super) PublicResolver);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move { Ok(Box::new(resolver.resolve(name.as_str()).await?.into_iter()) as Addrs) })
    }
}
