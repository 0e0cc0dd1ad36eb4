//! What the tasks of a worker share. `start` builds it once.

use std::sync::Arc;
use std::time::Duration;

use model_client::ModelClients;
use shared::batch::Batch;
use shared::config::{LeaseConfig, Plans};
use shared::db::Db;
use shared::definition_checker::DefinitionChecker;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;
use shared::runs::Finishing;
use shared::storage::Artifacts;

use crate::leases::LeaseContext;
use crate::leases::append::Appending;
use crate::pictures::Pictures;
use crate::search::Search;
use crate::tools::Tools;
use crate::workspace::Home;

pub struct Context {
    pub db: Db,
    /// Records steps, several runs at a time.
    pub appends: Batch<Appending>,
    /// Records ends, several runs at a time.
    pub ends: Batch<Finishing>,
    pub publisher: Publisher,
    pub models: ModelClients,
    /// Renders the prompts of apps and applies their schemas.
    pub checker: DefinitionChecker,
    pub tools: Tools,
    /// The search providers, if the installation has any.
    pub search: Option<Arc<Search>>,
    /// Holds the workspaces of the runs that this worker executes.
    pub home: Arc<Home>,
    /// Makes the pictures that models are shown.
    pub pictures: Arc<Pictures>,
    /// The store of artifacts, input files and snapshots.
    pub artifacts: Artifacts,
    /// The plans' limits, which bound the limits of the apps.
    pub plans: Plans,
    pub leases: Arc<LeaseContext>,
    pub lease: LeaseConfig,
    /// How long a run waits for a worker that has the run's model and search provider.
    pub rollout: Duration,
    pub lifecycle: Lifecycle,
}
