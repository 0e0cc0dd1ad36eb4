//! Settings: one struct for each concern. Each service flattens the structs that it needs. Only `main` reads
//! the environment (through clap). The exception are the model keys that the models file names
//! (`api_key_env`): the run-worker reads them at its start, and `gateway models check` before it asks. The
//! run-worker also reads the search keys that the file of CAPI_SEARCH names (`key_env`).
//! deploy/env.example lists all settings.

mod models;
mod parse;
mod plans;
mod quotas;
mod search;
mod secret_key;

pub use models::{
    InstructionsRole, Model, ModelSettings, ModelsError, ModelsFile, Provider, StructuredOutput,
    TokenParameter,
};
pub use parse::parse;
pub use plans::{Plan, Plans, PlansError};
pub use quotas::Quotas;
pub use search::{SearchEntry, SearchFile, SearchFileError, SearchKind, SearchMissing, SearchQuota};
pub use secret_key::{SecretKeyConfig, SecretKeyError};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::storage::{Artifacts, StorageError};

/// The database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseConfig {
    /// PostgreSQL 15 or newer: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=disable|prefer|require
    #[arg(id = "database_url", long = "database-url", env = "CAPI_DATABASE_URL", hide_env_values = true)]
    pub url: SecretString,
    /// Connections that this process keeps at most. A run-worker has three more for lease renewals.
    #[arg(
        id = "database_pool_size",
        long = "database-pool-size",
        env = "CAPI_DATABASE_POOL_SIZE",
        default_value_t = 10,
        value_parser = positive
    )]
    pub pool_size: usize,
}

/// The broker.
#[derive(Args, Clone, Debug)]
pub struct BrokerConfig {
    /// RabbitMQ 3.10 or newer: amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS).
    #[arg(id = "amqp_url", long = "amqp-url", env = "CAPI_AMQP_URL", hide_env_values = true)]
    pub url: SecretString,
    /// The beginning of every queue's name. Installations with different prefixes can share a broker.
    #[arg(long, env = "CAPI_QUEUE_PREFIX", default_value = "capi")]
    pub queue_prefix: String,
}

/// Health, readiness and metrics of one process.
#[derive(Args, Clone, Debug)]
pub struct OpsConfig {
    /// Address of /healthz, /readyz and /metrics. Port 0 takes a free port, which is logged.
    #[arg(long, env = "CAPI_OPS_ADDR", default_value = "127.0.0.1:0")]
    pub ops_addr: SocketAddr,
    /// Directory into which the process writes the addresses it listens on (SERVICE.http, SERVICE.ops).
    #[arg(long, env = "CAPI_RUN_DIR")]
    pub run_dir: Option<PathBuf>,
}

/// How a process logs.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// Filter, for example `info` or `run_worker=debug,info`. The default leaves out two libraries: lapin
    /// logs errors at each clean stop, and `actix_http` for each client that speaks no HTTP. capi logs the
    /// broker's errors itself.
    #[arg(long, env = "CAPI_LOG", default_value = "info,lapin=off,actix_http=off")]
    pub log: String,
    /// `json` (one object a line) or `text`.
    #[arg(long, env = "CAPI_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// How long a worker keeps a run without renewing its lease.
#[derive(Args, Clone, Copy, Debug)]
pub struct LeaseConfig {
    /// Seconds (3 to 300) until another worker takes over a run whose worker is silent. The lease is renewed
    /// every third of this time.
    #[arg(
        long,
        env = "CAPI_LEASE_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(3..=300)
    )]
    pub lease_seconds: u16,
}

impl LeaseConfig {
    /// The whole lease.
    #[must_use]
    pub fn lease(self) -> Duration {
        Duration::from_secs(u64::from(self.lease_seconds))
    }

    /// Time between renewals.
    #[must_use]
    pub fn heartbeat(self) -> Duration {
        self.lease() / 3
    }

    /// After this time a renewal without a reply is sent over another connection (3 s of 30).
    #[must_use]
    pub fn hedge_after(self) -> Duration {
        self.lease() / 10
    }

    /// The time until the next attempt after a failed renewal (1 s of 30).
    #[must_use]
    pub fn retry(self) -> Duration {
        (self.lease() / 30).min(Duration::from_secs(1))
    }

    /// A worker that could not renew stops this long before its lease ends (5 s of 30).
    #[must_use]
    pub fn margin(self) -> Duration {
        self.lease() / 6
    }
}

/// Comma-separated CIDRs. An empty text means none: containers pass unset variables on as empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl std::str::FromStr for Networks {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// In files: a list of CIDRs.
impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| {
            text.parse().map_err(|error| D::Error::custom(format!("{text:?} is not a network: {error}")))
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// The plans file alone, for services that need no models.
#[derive(Args, Clone, Debug, Default)]
pub struct PlansConfig {
    /// TOML file that adds to or overrides the built-in plans free, pro and team.
    #[arg(long, env = "CAPI_PLANS")]
    pub plans: Option<PathBuf>,
}

/// Which non-public networks webhooks may reach.
#[derive(Args, Clone, Debug, Default)]
pub struct WebhookNetworksConfig {
    /// Comma-separated CIDRs of non-public networks that webhooks may reach, for example 10.1.0.0/16. They
    /// apply to each plan that sets no `webhook_networks` of its own.
    #[arg(long, env = "CAPI_WEBHOOK_ALLOWED_NETWORKS", default_value = "")]
    pub webhook_allowed_networks: Networks,
}

/// The models file and the plans file.
#[derive(Args, Clone, Debug)]
pub struct CatalogConfig {
    /// TOML file of language models; see deploy/models.example.toml.
    #[arg(long, env = "CAPI_MODELS")]
    pub models: PathBuf,
    /// TOML file that adds to or overrides the built-in plans free, pro and team.
    #[arg(long, env = "CAPI_PLANS")]
    pub plans: Option<PathBuf>,
    #[command(flatten)]
    pub search: SearchConfig,
    /// on or off. With on, what the plans' `retention_days` are over for is deleted for good.
    #[arg(long, env = "CAPI_RETENTION", value_enum, default_value_t = Switch::Off)]
    pub retention: Switch,
}

/// The providers of the tool `web_search`.
#[derive(Args, Clone, Debug, Default)]
pub struct SearchConfig {
    /// TOML file of search providers; see deploy/search.example.toml. Without it, apps cannot have the tool
    /// web_search.
    #[arg(long = "search", env = "CAPI_SEARCH")]
    pub search_file: Option<PathBuf>,
}

impl SearchConfig {
    /// Reads the file, if there is one.
    pub fn read(&self) -> Result<SearchFile, SearchFileError> {
        SearchFile::read(self.search_file.as_deref())
    }
}

/// A part that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// The artifact store.
#[derive(Args, Clone, Debug)]
pub struct StorageConfig {
    /// Store of artifacts: file:///ABSOLUTE/DIRECTORY that all gateways and run-workers share.
    #[arg(long, env = "CAPI_ARTIFACTS_URL", default_value = "file:///var/lib/capi/artifacts")]
    pub artifacts_url: Url,
    /// Bytes of the store's disk that stay free. Below this, uploads of files and artifacts are refused;
    /// snapshots of running runs may use them.
    #[arg(long, env = "CAPI_ARTIFACTS_RESERVE_BYTES", default_value_t = 1 << 30)]
    pub artifacts_reserve_bytes: u64,
}

impl StorageConfig {
    /// Opens the store.
    pub fn open(&self) -> Result<Artifacts, StorageError> {
        Ok(Artifacts::open(&self.artifacts_url)?.with_reserve(self.artifacts_reserve_bytes))
    }
}

/// The public address of the installation.
#[derive(Args, Clone, Debug)]
pub struct LinksConfig {
    /// The address at which clients reach the gateway, for example `https://capi.example.com`. Links to
    /// artifacts begin with it.
    #[arg(long, env = "CAPI_PUBLIC_URL", default_value = "http://localhost:8080", value_parser = http_url)]
    pub public_url: Url,
}

fn http_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        // Pages, cookies and redirects use paths from the root.
        .filter(|url| url.path() == "/")
        .ok_or_else(|| {
            "must be like https://capi.example.com, without path, user name, query or fragment; capi needs a \
             host name of its own"
                .to_owned()
        })
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=1000).contains(number))
        .ok_or_else(|| "must be a whole number from 1 to 1000".to_owned())
}

/// Parses how many runs or deliveries a process may hold at once.
pub fn concurrency(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| "must be 1 to 10000".to_owned())
}
