//! What the tasks of a worker share. Built once, in `start`.

use std::sync::Arc;

use shared::config::{LeaseConfig, Plans};
use shared::db::Db;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;
use shared::storage::Artifacts;

use crate::claim::Claimant;
use crate::leases::Leases;
use crate::model::ModelClients;
use crate::tools::Tools;
use crate::workspace::Home;

/// The context of one worker process.
pub struct Context {
    /// The truth.
    pub db: Db,
    /// Connections for renewals and signs of life alone: the statements of thousands of runs must not make them wait.
    pub lease_db: Db,
    /// The way to dispatchers and other workers.
    pub publisher: Publisher,
    /// The language models.
    pub models: ModelClients,
    /// What the models may call.
    pub tools: Tools,
    /// Where the runs' files are while they are executed.
    pub home: Arc<Home>,
    /// Artifacts, callers' files and snapshots.
    pub artifacts: Artifacts,
    /// Ceilings over the apps' limits.
    pub plans: Plans,
    /// This process, and its terms.
    pub claimant: Claimant,
    /// The runs that this process holds now.
    pub leases: Leases,
    /// How long a claim holds.
    pub lease: LeaseConfig,
    /// Whether the process is stopping, and the tasks it waits for.
    pub lifecycle: Lifecycle,
}
