//! What a worker needs.

use clap::Parser;
use shared::config::{
    BrokerConfig, CatalogConfig, DatabaseConfig, LeaseConfig, LogConfig, Networks, OpsConfig, StorageConfig,
    concurrency,
};

/// capi's run-worker.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Runs that this process executes at once.
    #[arg(long = "worker-concurrency", env = "CAPI_WORKER_CONCURRENCY", default_value_t = 16, value_parser = concurrency)]
    pub concurrency: usize,
    /// Comma-separated CIDRs that the tool fetch_url may reach though they are not public.
    #[arg(long, env = "CAPI_FETCH_ALLOWED_NETWORKS", default_value = "")]
    pub fetch_allowed_networks: Networks,
    /// See there.
    #[command(flatten)]
    pub storage: StorageConfig,
    /// See there.
    #[command(flatten)]
    pub lease: LeaseConfig,
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
    pub ops: OpsConfig,
    /// See there.
    #[command(flatten)]
    pub log: LogConfig,
}
