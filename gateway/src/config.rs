//! What `gateway serve` needs.

use std::net::SocketAddr;

use clap::Args;
use shared::config::{
    BrokerConfig, CatalogConfig, DatabaseConfig, LogConfig, OpsConfig, WebhookNetworksConfig,
};

/// All settings of the serving gateway.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address of the public API. Port 0 takes a free one; it is logged.
    #[arg(long, env = "CAPI_HTTP_ADDR", default_value = "127.0.0.1:0")]
    pub http_addr: SocketAddr,
    /// See there.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// See there.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// See there.
    #[command(flatten)]
    pub catalog: CatalogConfig,
    /// See there.
    #[command(flatten)]
    pub webhook_networks: WebhookNetworksConfig,
    /// See there.
    #[command(flatten)]
    pub ops: OpsConfig,
    /// See there.
    #[command(flatten)]
    pub log: LogConfig,
}
