//! The settings of a webhook-dispatcher.

use std::time::Duration;

use clap::Parser;
use shared::config::{
    BrokerConfig, DatabaseConfig, LinksConfig, LogConfig, Networks, OpsConfig, PlansConfig, SecretKeyConfig,
    WebhookNetworksConfig, concurrency,
};

use crate::client;

/// capi's webhook-dispatcher.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Requests that this process has in flight at once.
    #[arg(
        long = "dispatcher-concurrency",
        env = "CAPI_DISPATCHER_CONCURRENCY",
        default_value_t = 64,
        value_parser = concurrency
    )]
    pub concurrency: usize,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub broker: BrokerConfig,
    #[command(flatten)]
    pub webhook_networks: WebhookNetworksConfig,
    #[command(flatten)]
    pub plans: PlansConfig,
    #[command(flatten)]
    pub secret_key: SecretKeyConfig,
    #[command(flatten)]
    pub links: LinksConfig,
    #[command(flatten)]
    pub ops: OpsConfig,
    #[command(flatten)]
    pub log: LogConfig,
    // Not a setting: the contract promises 15 s. Tests shorten it; the lease does not allow a longer one.
    #[arg(skip = client::TOTAL_TIMEOUT)]
    pub total_timeout: Duration,
    // Not a setting: tests store what their receivers on the loopback answer.
    #[arg(skip)]
    pub also_public: Networks,
}
