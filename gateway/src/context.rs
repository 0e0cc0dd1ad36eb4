//! What every handler may use. Built once, in `server`.

use shared::config::ModelsFile;
use shared::db::Db;
use shared::net::ip_policy::IpPolicy;
use shared::queue::Publisher;
use shared::runs::RunningCaps;

use crate::apps::AppCache;

/// The context of one gateway process.
pub struct Context {
    /// The truth.
    pub db: Db,
    /// The way to the workers.
    pub publisher: Publisher,
    /// What `chatModelId` accepts.
    pub models: ModelsFile,
    /// `plans.rates()`, computed once.
    pub rates: serde_json::Value,
    /// The plans' caps, computed once.
    pub caps: RunningCaps,
    /// Where webhooks may go.
    pub ip_policy: IpPolicy,
    /// Current app versions.
    pub apps: AppCache,
}
