//! The settings of a worker.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};
use shared::config::{
    BrokerConfig, CatalogConfig, DatabaseConfig, LeaseConfig, LogConfig, Networks, OpsConfig, StorageConfig,
    Switch, concurrency,
};

use crate::sandbox::Parts;
use crate::supervisor::{Supervised, new_worker_name};

/// capi's run-worker.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// How many runs this process executes at once.
    #[arg(
        long = "worker-concurrency",
        env = "CAPI_WORKER_CONCURRENCY",
        default_value_t = 16,
        value_parser = concurrency
    )]
    pub concurrency: usize,
    /// Comma-separated CIDRs that the tool fetch_url may reach although they are not public.
    #[arg(long, env = "CAPI_FETCH_ALLOWED_NETWORKS", default_value = "")]
    pub fetch_allowed_networks: Networks,
    /// Seconds (0 to 3600) that a run waits for a worker whose files have the run's model and search
    /// provider, if the worker that took it lacks them. So the files can be replaced on one worker after the
    /// other.
    #[arg(
        long,
        env = "CAPI_ROLLOUT_SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u16).range(..=3600)
    )]
    pub rollout_seconds: u16,
    /// The program picture-reader. The default is in the directory of the worker's program.
    #[arg(long, env = "CAPI_PICTURE_READER")]
    pub picture_reader: Option<PathBuf>,
    #[command(flatten)]
    pub sandbox: SandboxConfig,
    #[command(flatten)]
    pub storage: StorageConfig,
    #[command(flatten)]
    pub lease: LeaseConfig,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub broker: BrokerConfig,
    #[command(flatten)]
    pub catalog: CatalogConfig,
    #[command(flatten)]
    pub ops: OpsConfig,
    #[command(flatten)]
    pub log: LogConfig,
    /// Set by the supervisor for the worker that it starts.
    #[arg(long, hide = true)]
    pub supervised: Option<Supervised>,
}

impl Config {
    /// The worker's name in rows and logs. A worker without a supervisor, in a test, gets a new one.
    #[must_use]
    pub fn worker_name(&self) -> String {
        self.supervised.as_ref().map_or_else(new_worker_name, |supervised| supervised.worker.clone())
    }

    /// How long a run waits for a worker that has what it names.
    #[must_use]
    pub fn rollout(&self) -> Duration {
        Duration::from_secs(u64::from(self.rollout_seconds))
    }

    /// The path of the program picture-reader.
    pub fn picture_reader(&self) -> anyhow::Result<PathBuf> {
        match &self.picture_reader {
            Some(program) => Ok(program.clone()),
            None => beside_this_program("picture-reader").context("CAPI_PICTURE_READER"),
        }
    }
}

fn beside_this_program(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Where and how the commands of the agents run.
#[derive(Args, Clone, Debug)]
pub struct SandboxConfig {
    /// on or off. With off, runs of apps with the tools shell or python fail with sandbox_error.
    #[arg(long, env = "CAPI_SANDBOX", value_enum, default_value_t = Switch::On)]
    pub sandbox: Switch,
    /// Directory on a local disk for the workspaces of running runs. Every user must be able to enter its
    /// parents. The worker deletes its files when it stops. All workers of a machine that share the directory
    /// notice the death of one of them.
    #[arg(long, env = "CAPI_WORK_DIR", default_value = "/var/tmp")]
    pub work_dir: PathBuf,
    /// The user id for the sandbox of a worker that runs as root. No other process may have it.
    #[arg(
        long = "sandbox-uid",
        env = "CAPI_SANDBOX_UID",
        default_value_t = 65_533,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub user: u32,
    /// The program of bubblewrap.
    #[arg(long = "sandbox-bwrap", env = "CAPI_SANDBOX_BWRAP", default_value = "/usr/bin/bwrap")]
    pub bwrap: PathBuf,
    /// The Python environment that deploy/sandbox/prepare.sh made. Without it the tool python is missing.
    #[arg(long = "sandbox-python", env = "CAPI_SANDBOX_PYTHON")]
    pub python: Option<PathBuf>,
    /// The program sandbox-entry. The default is in the directory of the worker's program.
    #[arg(long = "sandbox-entry", env = "CAPI_SANDBOX_ENTRY")]
    pub entry: Option<PathBuf>,
}

impl SandboxConfig {
    /// The programs of the sandbox of a worker with this supervisor.
    pub fn parts(&self, supervisor: Option<u32>) -> anyhow::Result<Parts> {
        let entry = match &self.entry {
            Some(entry) => entry.clone(),
            None => beside_this_program("sandbox-entry").context("CAPI_SANDBOX_ENTRY")?,
        };
        Ok(Parts { bwrap: self.bwrap.clone(), entry, python: self.python.clone(), supervisor })
    }
}
