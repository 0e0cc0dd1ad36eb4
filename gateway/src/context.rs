//! What the handlers of both faces use. `start` builds one per process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use gateway_domain::Refusal;
use gateway_domain::apps::{AppCache, Checks, CurrentApp};
use gateway_domain::runs::{Intake, RunWatchers, Uploads};
use ipnet::IpNet;
use shared::batch::Batch;
use shared::config::{ModelsFile, Plans, Quotas, SearchFile};
use shared::db::Db;
use shared::definition_checker::DefinitionChecker;
use shared::ids::{AppId, RunId, UserId};
use shared::lifecycle::Lifecycle;
use shared::net::public_url::{PublicUrl, UrlRefusal};
use shared::queue::Publisher;
use shared::runs::Viewer;
use shared::storage::{Artifacts, Links};
use shared::webhook_policies::WebhookPolicies;
use url::Url;

use crate::http::ApiError;
use crate::http::admission::Admitting;
use crate::http::extract::Client;
use crate::http::limits::{
    FloodGuard, InFlight, LogBudget, OpenStreams, Refusals, RefusedUploads, Reports, UnlistedProxies,
    UnreadAnswers,
};

pub struct Context {
    pub db: Db,
    /// Creates runs.
    pub intake: Intake,
    pub models: Arc<ModelsFile>,
    /// The search providers; empty if the installation has none.
    pub search: Arc<SearchFile>,
    /// Checks the prompts and schemas of apps.
    pub checker: DefinitionChecker,
    pub plans: Plans,
    /// `plans.rates()`, computed once.
    pub rates: serde_json::Value,
    /// Admits requests with API keys.
    pub admission: Batch<Admitting>,
    pub viewer: Viewer,
    /// Verifies signed links.
    pub links: Links,
    pub artifacts: Artifacts,
    pub watchers: RunWatchers,
    /// The longest time that a request waits for a run.
    pub max_wait: Duration,
    pub flood: Arc<FloodGuard>,
    pub refusals: Arc<Refusals>,
    /// Log lines about refused requests.
    pub refused_log: LogBudget,
    pub uploads: InFlight,
    pub refused_uploads: Arc<RefusedUploads>,
    /// Memory of parsed bodies.
    pub json: InFlight,
    pub reports: Reports,
    pub unread: UnreadAnswers,
    /// The event streams of both faces.
    pub streams: OpenStreams,
    /// The proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub unlisted_proxies: UnlistedProxies,
    /// The address at which clients and browsers reach this installation.
    pub public_url: Url,
    pub lifecycle: Lifecycle,
    /// Where the webhooks of each plan may go.
    pub webhook_policies: WebhookPolicies,
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

    /// The address of a page of the console.
    #[must_use]
    pub fn console_url(&self, page: &str) -> String {
        format!("{}/{page}", self.public_url.as_str().trim_end_matches('/'))
    }

    /// The files of a create. If it is refused, they count to the account's refused uploads.
    #[must_use]
    pub fn uploads_of(&self, run: RunId, user: UserId, quotas: &Quotas, stores: bool) -> Uploads {
        let files = Uploads::new(run, &self.artifacts, stores);
        let Some(limit) = quotas.max_request_bytes_per_day else { return files };
        let refused = Arc::clone(&self.refused_uploads);
        files.counted_by(move |bytes| refused.add(user, bytes, limit, Instant::now()))
    }

    /// What the definition of an app of this account is checked with.
    #[must_use]
    pub fn checks(&self, account: UserId) -> Checks<'_> {
        Checks { models: &self.models, search: &self.search, checker: &self.checker, account }
    }

    /// The client's address. Notices a proxy that is not listed.
    #[must_use]
    pub fn client_address(&self, request: &HttpRequest) -> IpAddr {
        let Client { address, unlisted_proxy } = Client::of(request, &self.trusted_proxies);
        if unlisted_proxy {
            self.unlisted_proxies.forwarded(address, Instant::now());
        }
        address
    }

    /// The URL of a webhook that a request names in this field. The account's plan decides about non-public
    /// addresses.
    pub fn webhook_url(&self, plan: &str, field: &'static str, text: &str) -> Result<PublicUrl, Refusal> {
        let refused = |why: UrlRefusal| Refusal::InvalidWebhookUrl { field, why: why.to_string() };
        PublicUrl::parse(text, self.webhook_policies.of(plan)).map_err(refused)
    }

    /// The user's app as it is stored now.
    pub async fn load_app(&self, user: UserId, app: AppId) -> Result<Arc<CurrentApp>, ApiError> {
        Ok(self.intake.apps.load(&self.db, user, app).await?)
    }
}
