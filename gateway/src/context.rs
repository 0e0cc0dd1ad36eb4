//! What the handlers of both faces use. `start` builds one per process.

use std::sync::Arc;
use std::time::Duration;

use gateway_domain::apps::{AppCache, CurrentApp};
use gateway_domain::runs::{Intake, RunWatchers};
use ipnet::IpNet;
use shared::config::{ModelsFile, Plans};
use shared::db::Db;
use shared::ids::{AppId, UserId};
use shared::lifecycle::Lifecycle;
use shared::net::ip_policy::IpPolicy;
use shared::queue::Publisher;
use shared::runs::Viewer;
use shared::storage::{Artifacts, Links};

use crate::http::ApiError;
use crate::http::limits::{FloodGuard, Refusals, UnreadAnswers};

pub struct Context {
    pub db: Db,
    /// Creates runs.
    pub intake: Intake,
    pub models: Arc<ModelsFile>,
    pub plans: Plans,
    /// `plans.rates()`, computed once.
    pub rates: serde_json::Value,
    pub viewer: Viewer,
    /// Verifies signed links.
    pub links: Links,
    pub artifacts: Artifacts,
    pub watchers: RunWatchers,
    /// The longest time that a request waits for a run.
    pub max_wait: Duration,
    pub flood: FloodGuard,
    pub refusals: Refusals,
    pub unread: UnreadAnswers,
    /// The proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub lifecycle: Lifecycle,
    /// Where webhooks may go.
    pub ip_policy: IpPolicy,
}

impl Context {
    #[must_use]
    pub fn apps(&self) -> &AppCache {
        &self.intake.apps
    }

    #[must_use]
    pub fn publisher(&self) -> &Publisher {
        &self.intake.publisher
    }

    /// The user's app as it is stored now.
    pub async fn load_app(&self, user: UserId, app: AppId) -> Result<Arc<CurrentApp>, ApiError> {
        Ok(self.intake.apps.load(&self.db, user, app).await?)
    }
}
