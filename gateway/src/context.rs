//! What every handler may use. Built once, in `server`.

use std::time::Duration;

use ipnet::IpNet;
use shared::config::{ModelsFile, Plans};
use shared::db::Db;
use shared::lifecycle::Lifecycle;
use shared::net::ip_policy::IpPolicy;
use shared::queue::Publisher;
use shared::runs::Viewer;
use shared::storage::{Artifacts, Links};

use crate::apps::AppCache;
use crate::auth::{FloodGuard, Refusals};
use crate::console::Console;
use crate::live::Live;

/// The context of one gateway process.
pub struct Context {
    /// The truth.
    pub db: Db,
    /// The way to the workers.
    pub publisher: Publisher,
    /// What `chatModelId` accepts.
    pub models: ModelsFile,
    /// What accounts may do.
    pub plans: Plans,
    /// `plans.rates()`, computed once.
    pub rates: serde_json::Value,
    /// Shows runs.
    pub viewer: Viewer,
    /// Checks signed links.
    pub links: Links,
    /// The bytes of artifacts.
    pub artifacts: Artifacts,
    /// Wakes those who wait for a run.
    pub live: Live,
    /// The longest that a request is held.
    pub max_wait: Duration,
    /// In front of the database.
    pub flood: FloodGuard,
    /// Callers that were told to wait.
    pub refusals: Refusals,
    /// Whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the process is stopping.
    pub lifecycle: Lifecycle,
    /// Where webhooks may go.
    pub ip_policy: IpPolicy,
    /// Current app versions.
    pub apps: AppCache,
    /// What its pages need.
    pub console: Console,
}
