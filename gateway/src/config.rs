//! What `gateway serve` needs.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use shared::config::{
    BrokerConfig, CatalogConfig, DatabaseConfig, LinksConfig, LogConfig, Networks, OpsConfig,
    SecretKeyConfig, StorageConfig, WebhookNetworksConfig,
};

/// Who may make accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signup {
    /// Operators, with `gateway user create`.
    Closed,
    /// Everybody who reaches the console, on the plan `free`.
    Open,
}

/// All settings of the serving gateway.
#[derive(Args, Clone, Debug)]
// More connections than the others have: each create is a commit, and commits at the same time share a flush.
#[command(mut_arg("database_pool_size", |arg| arg.default_value("20")))]
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
    /// The longest that a request is held that waits for a run's end, in seconds (0 to 3600): less than proxies hold it.
    #[arg(long, env = "CAPI_MAX_WAIT_SECONDS", default_value_t = 50, value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub max_wait_seconds: u16,
    /// Who may make accounts: `closed` (operators), or `open` (everybody who reaches the console, on the plan free).
    #[arg(long, env = "CAPI_SIGNUP", value_enum, default_value_t = Signup::Closed)]
    pub signup: Signup,
    /// Comma-separated CIDRs of proxies whose X-Forwarded-For is believed.
    #[arg(long, env = "CAPI_TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: Networks,
    /// See there.
    #[command(flatten)]
    pub storage: StorageConfig,
    /// See there.
    #[command(flatten)]
    pub links: LinksConfig,
    /// See there.
    #[command(flatten)]
    pub secret_key: SecretKeyConfig,
    /// See there.
    #[command(flatten)]
    pub ops: OpsConfig,
    /// See there.
    #[command(flatten)]
    pub log: LogConfig,
}
