//! Puts one gateway process together: connections, background tasks, the two faces, and the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::runs::{Accepting, Intake, RunWatchers, WAITING_CREATES, idempotency, queue_timeout};
use shared::batch::Batch;
use shared::config::{ModelsFile, Plans, Switch};
use shared::db::{Db, require_schema, watch_oldest_transaction};
use shared::definition_checker::DefinitionChecker;
use shared::lifecycle::Lifecycle;
use shared::ops::{self, Pulses, Readiness};
use shared::queue::{self, Broker, Publisher};
use shared::runs::{RunningCaps, Viewer};
use shared::storage::StoreOwner;
use shared::telemetry::PrometheusHandle;
use shared::webhook_policies::WebhookPolicies;
use tokio::task::JoinHandle;

use crate::config::{Config, SIGN_UP_PLAN, Signup};
use crate::console::{self, Console};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::admission::{self, Admitting, WAITING_REQUESTS};
use crate::http::endpoint::{Endpoint, serve_table};
use crate::http::limits::{
    FloodGuard, InFlight, LogBudget, OpenStreams, PRUNE_EVERY, Refusals, Reports, UnlistedProxies,
    UnreadAnswers,
};
use crate::http::middleware::RenderError;
use crate::http::paths::wants_page;
use crate::http::server::{Serving, serve};
use crate::{api, docs};

const SERVICE: &str = "gateway";

/// A gateway that serves.
pub struct Running {
    /// The address of the API and the console.
    pub http: SocketAddr,
    /// The address of health, readiness and metrics.
    pub ops: SocketAddr,
    /// Stops it.
    pub lifecycle: Lifecycle,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Stops serving without waiting for open requests, then stops the rest.
    pub async fn stop(self) {
        self.server.stop(false).await;
        self.lifecycle.stop().await;
    }

    /// Serves until a signal, finishes open requests, then stops the rest.
    pub async fn run_until_signalled(self) -> anyhow::Result<()> {
        let Self { server, serving, lifecycle, .. } = self;
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn(async move {
            stopping.cancelled().await;
            server.stop(true).await;
        });
        // A gateway whose server ended must not look alive.
        let ended_by_itself = async {
            let ended = serving.await;
            if lifecycle.stopping().is_cancelled() {
                std::future::pending::<()>().await;
            }
            ended
        };
        tokio::select! {
            stopped = lifecycle.run_until_signalled() => stopped,
            ended = ended_by_itself => anyhow::bail!("the HTTP server ended by itself: {ended:?}"),
        }
    }
}

/// Starts a gateway. Must be called on the main runtime: a connection's driver lives where the connection was
/// opened.
pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Running> {
    start_with(config, metrics, endpoints).await
}

/// The same with another route table. A test adds endpoints that block.
pub async fn start_with(
    config: &Config,
    metrics: Option<PrometheusHandle>,
    endpoints: fn() -> Vec<Endpoint>,
) -> anyhow::Result<Running> {
    ops::raise_open_files();
    crate::metric_help::describe();
    let lifecycle = Lifecycle::default();
    let db = Db::new(&config.database, "capi-gateway")?;
    require_schema(&db).await?;
    db.warm().await;
    let broker = Broker::new(&config.broker, "capi-gateway")?;
    let publisher = Publisher::start(broker.clone(), &lifecycle);
    let watchers = RunWatchers::default();
    let receiving = watchers.clone();
    let receive = move |received| receiving.receive(received);
    let (health, subscribing) =
        queue::subscribe(broker, watchers.topics(), receive, lifecycle.stopping().clone());
    lifecycle.spawn(subscribing);
    let broker = vec![publisher.health(), health];
    lifecycle.spawn(queue_timeout::sweep(db.patient(), publisher.clone(), lifecycle.clone()));
    lifecycle.spawn(idempotency::sweep(db.patient(), lifecycle.clone()));
    let context = web::Data::new(context(config, db.clone(), publisher, watchers.clone(), &lifecycle)?);
    let store = StoreOwner::watch(&db, &context.artifacts, &lifecycle).await;
    let console = web::Data::new(Console::new(config)?);
    lifecycle.spawn(watchers.clone().poll(db.clone(), lifecycle.clone()));
    lifecycle.spawn(watchers.clone().announce(context.publisher().clone(), lifecycle.clone()));
    lifecycle.spawn(watchers.unbind_idle(lifecycle.clone()));
    lifecycle.spawn(prune(context.clone(), console.clone()));
    lifecycle.spawn(watch_oldest_transaction(db.clone(), lifecycle.clone()));
    let pulses = Pulses::default();
    let keep_alive = Duration::from_secs(config.keep_alive_seconds.into());
    let Serving { address: http, handle: server, task: serving } =
        serve(config.http_addr, keep_alive, &pulses, move |app| {
            app.app_data(context.clone()).app_data(console.clone()).app_data(RenderError(render_error));
            serve_table(app, endpoints());
        })?;
    ops::write_address(config.ops.run_dir.as_deref(), SERVICE, "http", http)?;
    let readiness = Readiness {
        db,
        broker,
        // Creates are accepted without it. Their runs start when it is back.
        needs_broker: false,
        store: Some(store),
        http: Some(http),
        pulses,
        own: vec![],
        lifecycle: lifecycle.clone(),
    };
    let ops = ops::serve(&config.ops, SERVICE, readiness, metrics)?;
    Ok(Running { http, ops, lifecycle, server, serving })
}

/// Every endpoint of the gateway.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = api::routes::endpoints();
    all.extend(docs::endpoints());
    all.extend(console::endpoints());
    all
}

/// Programs get a problem, browsers a page.
fn render_error(error: &ApiError, request: &HttpRequest, request_id: &str) -> HttpResponse {
    let for_programs = match error {
        // The path may be that of another version, or mistyped, so it tells nothing.
        ApiError::NoSuchPath { .. } => !wants_page(request),
        _ => ["/api/", "/docs"].iter().any(|prefix| request.path().starts_with(prefix)),
    };
    if for_programs { error.respond(request_id) } else { console::error_page(error, request, request_id) }
}

/// Must be called on the main runtime, on which the sets are sent.
fn context(
    config: &Config,
    db: Db,
    publisher: Publisher,
    watchers: RunWatchers,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Context> {
    let plans = Plans::read(config.catalog.plans.as_deref())?;
    check_sign_up(config.signup, &plans)?;
    let plans = with_retention(plans, config);
    let caps = RunningCaps { by_plan: plans.running_caps(), otherwise: plans.smallest_running_cap().into() };
    let webhook_policies = WebhookPolicies::new(&plans, &config.webhook_networks.webhook_allowed_networks);
    warn_of_open_networks(config.signup, &webhook_policies);
    let links = config.secret_key.links(&config.links)?;
    let models = Arc::new(ModelsFile::read(&config.catalog.models)?);
    let search = Arc::new(config.catalog.search.read()?);
    let rates = plans.rates();
    let (flood, refusals) = (Arc::new(FloodGuard::new(plans.largest_rate())), Arc::<Refusals>::default());
    let admitting = Admitting {
        db: db.with_patience(admission::PATIENCE),
        rates: rates.clone(),
        flood: Arc::clone(&flood),
        refusals: Arc::clone(&refusals),
    };
    let intake = Intake {
        accepting: Batch::start("accept", WAITING_CREATES, Accepting { db: db.clone() }),
        db: db.clone(),
        apps: Arc::default(),
        models: Arc::clone(&models),
        search: Arc::clone(&search),
        publisher,
    };
    Ok(Context {
        db,
        intake,
        models,
        search,
        checker: DefinitionChecker::start()?,
        rates,
        admission: Batch::start("admit", WAITING_REQUESTS, admitting),
        flood,
        refusals,
        plans,
        viewer: Viewer { caps, links: links.clone() },
        links,
        artifacts: config.storage.open()?,
        watchers,
        max_wait: Duration::from_secs(config.max_wait_seconds.into()),
        refused_log: LogBudget::default(),
        uploads: InFlight::uploads(),
        refused_uploads: Arc::default(),
        json: InFlight::json(),
        reports: Reports::new(&config.database)?,
        unread: UnreadAnswers::default(),
        streams: OpenStreams::default(),
        trusted_proxies: config.trusted_proxies.0.clone(),
        unlisted_proxies: UnlistedProxies::default(),
        webhook_policies,
        public_url: config.links.public_url.clone(),
        lifecycle: lifecycle.clone(),
    })
}

/// Refuses to let everyone create accounts that could use the whole installation.
fn check_sign_up(signup: Signup, plans: &Plans) -> anyhow::Result<()> {
    let missing = plans.missing_for_sign_up(SIGN_UP_PLAN);
    anyhow::ensure!(
        signup == Signup::Closed || missing.is_empty(),
        "CAPI_SIGNUP=open: everyone can create accounts of the plan {SIGN_UP_PLAN}, which lacks the limits \
         {}; set them in the CAPI_PLANS file, or set CAPI_SIGNUP=closed",
        missing.join(", ")
    );
    Ok(())
}

/// Retention is off unless an operator turns it on: an upgrade must not delete runs by itself.
fn with_retention(plans: Plans, config: &Config) -> Plans {
    if config.catalog.retention == Switch::On {
        return plans;
    }
    if config.signup == Signup::Open {
        tracing::warn!(
            plan = SIGN_UP_PLAN,
            "everyone can sign up, and old runs are never deleted; set CAPI_RETENTION=on"
        );
    }
    plans.without_retention()
}

/// Everyone may create an account, and such accounts would reach the operator's own networks.
fn warn_of_open_networks(signup: Signup, policies: &WebhookPolicies) {
    if signup == Signup::Open && policies.opened().any(|(plan, _)| plan == SIGN_UP_PLAN) {
        tracing::warn!(
            plan = SIGN_UP_PLAN,
            "everyone can sign up, and webhooks of this plan may reach non-public networks; set \
             webhook_networks = [] for the plan in CAPI_PLANS"
        );
    }
}

/// Removes entries of the guards that limit nothing, until the process stops.
async fn prune(context: web::Data<Context>, console: web::Data<Console>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PRUNE_EVERY) => {
                context.flood.prune();
                context.refused_uploads.prune(Instant::now());
                console.prune();
            }
            () = context.lifecycle.stopping().cancelled() => return,
        }
    }
}
