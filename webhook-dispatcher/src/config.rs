//! What a dispatcher needs.

use clap::Parser;
use shared::config::{
    BrokerConfig, DatabaseConfig, LinksConfig, LogConfig, OpsConfig, SecretKeyConfig, WebhookNetworksConfig,
    concurrency,
};

/// capi's webhook-dispatcher.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Requests that this process has under way at once.
    #[arg(long = "dispatcher-concurrency", env = "CAPI_DISPATCHER_CONCURRENCY", default_value_t = 64, value_parser = concurrency)]
    pub concurrency: usize,
    /// See there.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// See there.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// See there.
    #[command(flatten)]
    pub webhook_networks: WebhookNetworksConfig,
    /// See there.
    #[command(flatten)]
    pub secret_key: SecretKeyConfig,
    /// See there.
    #[command(flatten)]
    pub links: LinksConfig,
    /// See there.
    #[command(flatten)]
    pub ops: OpsConfig,
    /// See there.
    #[command(flatten)]
    pub log: LogConfig,
}
