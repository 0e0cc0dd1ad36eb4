//! What the tasks of a worker share. Built once, in `start`.

use shared::config::{LeaseConfig, Plans};
use shared::db::Db;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;

use crate::heartbeat::Leases;
use crate::model::ModelClients;

/// The context of one worker process.
pub struct Context {
    /// The truth.
    pub db: Db,
    /// The way to dispatchers and other workers.
    pub publisher: Publisher,
    /// The language models.
    pub models: ModelClients,
    /// Ceilings over the apps' limits.
    pub plans: Plans,
    /// `plans.running_caps()`, computed once.
    pub caps: serde_json::Value,
    /// The cap of an account whose plan is not listed.
    pub smallest_cap: i32,
    /// The runs that this process holds now.
    pub leases: Leases,
    /// How long a claim holds.
    pub lease: LeaseConfig,
    /// This process, in rows and logs.
    pub worker: String,
    /// Whether the process is stopping, and the tasks it waits for.
    pub lifecycle: Lifecycle,
}
