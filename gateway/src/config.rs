//! The settings of `gateway serve`.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use shared::config::{
    BrokerConfig, CatalogConfig, DatabaseConfig, LinksConfig, LogConfig, Networks, OpsConfig,
    SecretKeyConfig, StorageConfig, WebhookNetworksConfig,
};

/// The plan of accounts that their users create.
pub const SIGN_UP_PLAN: &str = "free";

/// Who may create accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signup {
    /// Operators, with `gateway user create`.
    Closed,
    /// Every visitor of the console, on the plan `free`.
    Open,
}

/// All settings of the serving gateway.
#[derive(Args, Clone, Debug)]
// More connections than the other services have: each create is a commit, and concurrent commits share one
// flush.
#[command(mut_arg("database_pool_size", |arg| arg.default_value("20")))]
pub struct Config {
    /// Address of the public API. Port 0 takes a free one; it is logged.
    #[arg(long, env = "CAPI_HTTP_ADDR", default_value = "127.0.0.1:0")]
    pub http_addr: SocketAddr,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub broker: BrokerConfig,
    #[command(flatten)]
    pub catalog: CatalogConfig,
    #[command(flatten)]
    pub webhook_networks: WebhookNetworksConfig,
    /// The longest time that a request waits for the end of a run, in seconds (0 to 3600). Must be below the
    /// timeout of proxies.
    #[arg(
        long,
        env = "CAPI_MAX_WAIT_SECONDS",
        default_value_t = 50,
        value_parser = clap::value_parser!(u16).range(0..=3600)
    )]
    pub max_wait_seconds: u16,
    /// How long an idle connection stays open, in seconds (1 to 3600). Must be longer than proxies keep idle
    /// connections.
    #[arg(
        long,
        env = "CAPI_KEEP_ALIVE_SECONDS",
        default_value_t = 75,
        value_parser = clap::value_parser!(u16).range(1..=3600)
    )]
    pub keep_alive_seconds: u16,
    /// Who may create accounts: `closed` (operators only) or `open` (every visitor of the console, on the
    /// plan free).
    #[arg(long, env = "CAPI_SIGNUP", value_enum, default_value_t = Signup::Closed)]
    pub signup: Signup,
    /// Comma-separated CIDRs of proxies whose X-Forwarded-For is believed.
    #[arg(long, env = "CAPI_TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: Networks,
    #[command(flatten)]
    pub storage: StorageConfig,
    #[command(flatten)]
    pub links: LinksConfig,
    #[command(flatten)]
    pub secret_key: SecretKeyConfig,
    #[command(flatten)]
    pub ops: OpsConfig,
    #[command(flatten)]
    pub log: LogConfig,
}
