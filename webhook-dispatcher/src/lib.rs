//! The webhook-dispatcher sends signed webhooks of the events of runs. README.md says what to read first.

pub mod answering;
pub mod attempt;
pub mod circuit;
pub mod claims;
pub mod client;
mod closed_lanes;
pub mod config;
pub mod consumer;
pub mod context;
pub mod deliver;
mod locked_lanes;
mod metric_help;
pub mod ping_cleanup;
pub mod prepare;
pub mod record;
pub mod request;
pub mod retry;
pub mod retry_after;
pub mod shares;
pub mod signature;
pub mod sweeper;
pub mod take;

use std::net::SocketAddr;
use std::sync::Arc;

use shared::batch::Batch;
use shared::config::Plans;
use shared::db::{Db, require_schema};
use shared::lifecycle::Lifecycle;
use shared::missing_plans::warn_of_missing_plans;
use shared::ops::{self, Pulses, Readiness};
use shared::queue::{Broker, Publisher, WorkQueue, consume};
use shared::runs::{RunningCaps, Viewer};
use shared::telemetry::PrometheusHandle;
use shared::webhook_policies::WebhookPolicies;
use tokio::sync::{Mutex, Semaphore};

use crate::answering::Answering;
use crate::client::WebhookClient;
use crate::config::Config;
use crate::consumer::DeliveryHandler;
use crate::context::Context;
use crate::record::Recording;
use crate::shares::Shares;
use crate::take::{Taker, TakingNext};

const SERVICE: &str = "webhook-dispatcher";

pub struct Running {
    /// Address of /healthz, /readyz and /metrics.
    pub ops: SocketAddr,
    pub lifecycle: Lifecycle,
}

/// Starts a dispatcher; `main` and the tests use it alike.
pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Running> {
    metric_help::describe();
    let secret_key = config.secret_key.read()?;
    let lifecycle = Lifecycle::default();
    // A claim that is given up may have claimed a delivery.
    let db = Db::new(&config.database, "capi-webhook-dispatcher")?.patient();
    require_schema(&db).await?;
    let broker = Broker::new(&config.broker, "capi-webhook-dispatcher")?;
    let publisher = Publisher::start(broker.clone(), &lifecycle);
    let plans = Plans::read(config.plans.plans.as_deref())?;
    lifecycle.spawn(warn_of_missing_plans(db.clone(), plans.clone()));
    let policies = WebhookPolicies::new(&plans, &config.webhook_networks.webhook_allowed_networks);
    let permits = Arc::new(Semaphore::new(config.concurrency));
    let taker = Arc::new(Taker {
        db: db.clone(),
        publisher: publisher.clone(),
        viewer: Viewer {
            // The caps matter only for pending runs, and the dispatcher shows none.
            caps: RunningCaps {
                by_plan: plans.running_caps(),
                otherwise: plans.smallest_running_cap().into(),
            },
            links: config.secret_key.links(&config.links)?,
        },
        shares: Shares::new(config.concurrency),
        answering: Answering::default(),
        claiming: Mutex::default(),
        dispatcher: format!("dispatcher-{}", uuid::Uuid::now_v7().simple()),
    });
    let context = Arc::new(Context {
        client: WebhookClient::new(policies, config.total_timeout, config.also_public.clone())?,
        secret_key,
        // Each permit has one call at most.
        next: Batch::start("take_next_deliveries", config.concurrency, TakingNext(Arc::clone(&taker))),
        records: Batch::start("record_deliveries", config.concurrency, Recording(db.clone())),
        taker: Arc::clone(&taker),
        lifecycle: lifecycle.clone(),
    });
    let handler = Arc::new(DeliveryHandler::new(context));
    let sending = publisher.clone();
    let consuming = consume(broker, WorkQueue::Deliveries, db.clone(), permits, handler, sending, &lifecycle);
    let dispatcher = &taker.dispatcher;
    tracing::info!(dispatcher, concurrency = config.concurrency, "consuming deliveries");
    lifecycle.spawn(sweeper::sweep(db.clone(), publisher.clone(), lifecycle.clone()));
    lifecycle.spawn(closed_lanes::watch(db.clone(), lifecycle.clone()));
    lifecycle.spawn(ping_cleanup::run(db.clone(), lifecycle.clone()));
    let readiness = Readiness {
        db,
        broker: vec![publisher.health(), consuming],
        needs_broker: true,
        http: None,
        pulses: Pulses::default(),
        store: None,
        own: vec![],
        lifecycle: lifecycle.clone(),
    };
    let ops = ops::serve(&config.ops, SERVICE, readiness, metrics)?;
    Ok(Running { ops, lifecycle })
}
