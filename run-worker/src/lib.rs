//! The run-worker: claims runs, executes them, records each step, finishes them.
//!
//! Read `execute` first: one run, top to bottom. Then read `leases` (lease, heartbeat, fence) and `agent`.

pub mod agent;
pub mod config;
pub mod consumer;
pub mod context;
pub mod documents;
pub mod egress;
pub mod execute;
pub mod leases;
mod locked_users;
mod metric_help;
pub mod pictures;
pub mod retention;
pub mod retry_on_outage;
pub mod sandbox;
pub mod search;
pub mod store_gc;
mod store_guard;
pub mod supervisor;
pub mod sweeper;
pub mod tools;
mod turn;
mod url_ends;
pub mod watched;
pub mod workspace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model_client::ModelClients;
use shared::batch::Batch;
use shared::config::{DatabaseConfig, ModelsFile, Plans, Switch};
use shared::db::{Db, require_schema};
use shared::definition_checker::DefinitionChecker;
use shared::lifecycle::Lifecycle;
use shared::missing_plans::warn_of_missing_plans;
use shared::net::ip_policy::IpPolicy;
use shared::ops::{self, Pulses, Readiness};
use shared::queue::{Broker, BrokerHealth, Publisher, WorkQueue, consume};
use shared::runs::Finishing;
use shared::storage::StoreOwner;
use shared::telemetry::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::consumer::RunHandler;
use crate::context::Context;
use crate::leases::append::Appending;
use crate::leases::elsewhere::Elsewhere;
use crate::leases::held::HeldLeases;
use crate::leases::isolation::{Isolation, suspects_at_once};
use crate::leases::store::Claimant;
use crate::leases::takeover::Reaper;
use crate::leases::{LeaseContext, broadcasts, heartbeat, neighbours, presence};
use crate::pictures::Pictures;
use crate::sandbox::Sandbox;
use crate::search::Search;
use crate::supervisor::Supervised;
use crate::tools::{ToolParts, Tools};
use crate::watched::Watched;
use crate::workspace::Home;

const SERVICE: &str = "run-worker";

/// One each for the heartbeat, for the checks of suspected runs and for the reaper's pings.
const LEASE_CONNECTIONS: usize = 3;

/// The least number of steps, and of ends, that may wait for their set.
const MIN_QUEUED_WRITES: usize = 1000;

/// How long a run waits until its prompt is rendered or its answer is checked. Its time limit may end the
/// wait before.
const CHECK_PATIENCE: Duration = Duration::from_mins(5);

/// A started worker.
pub struct Running {
    /// The address of /healthz, /readyz and /metrics.
    pub ops: SocketAddr,
    pub lifecycle: Lifecycle,
}

/// Starts a worker.
pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Running> {
    ops::raise_open_files();
    metric_help::describe();
    let models = ModelsFile::read(&config.catalog.models)?;
    let plans = read_plans(config)?;
    let lifecycle = Lifecycle::default();
    // A claim that is given up may have claimed a run.
    let db = Db::new(&config.database, "capi-run-worker")?.patient();
    require_schema(&db).await?;
    let broker = Broker::new(&config.broker, "capi-run-worker")?;
    let publisher = Publisher::start(broker.clone(), &lifecycle);
    let permits = Arc::new(Semaphore::new(config.concurrency));
    lifecycle.spawn(warn_of_missing_plans(db.clone(), plans.clone()));
    let artifacts = config.storage.open()?;
    let store = StoreOwner::watch(&db, &artifacts, &lifecycle).await;
    let worker = config.worker_name();
    let (home, sandbox) = open_sandbox(config, &worker).await?;
    let leases = Arc::new(lease_context(config, &worker, &plans, &db, &publisher, &lifecycle).await?);
    let fetch_policy = IpPolicy::new(config.fetch_allowed_networks.0.clone());
    let search = Search::open(config.catalog.search.read()?, &fetch_policy, &db)?;
    let pictures = Arc::new(open_pictures(config, &models)?);
    let context = Arc::new(Context {
        db: db.clone(),
        appends: Batch::start("append", queued(config), Appending::new(db.clone(), config.lease.lease())),
        ends: Batch::start("finish", queued(config), Finishing::new(db.clone())),
        publisher: publisher.clone(),
        models: ModelClients::new(&models)?,
        // Each run has one task. Those of ended runs may not be over yet.
        checker: DefinitionChecker::start_with(CHECK_PATIENCE, 2 * config.concurrency)?,
        tools: Tools::new(ToolParts {
            artifacts: artifacts.clone(),
            fetch_policy,
            sandbox: Arc::clone(&sandbox),
            search: search.clone(),
            pictures: Arc::clone(&pictures),
        }),
        search,
        home: Arc::clone(&home),
        pictures,
        artifacts,
        plans,
        leases: Arc::clone(&leases),
        lease: config.lease,
        rollout: config.rollout(),
        lifecycle: lifecycle.clone(),
    });
    let starting = Arc::clone(&context);
    let start_run = move |claimed, sent, permit| execute::spawn(&starting, claimed, sent, permit);
    let reaper = Arc::new(Reaper::new(Arc::clone(&leases), start_run));
    let handler = Arc::new(RunHandler::new(Arc::clone(&context), Arc::clone(&reaper)));
    let receiving = broadcasts::subscribe(broker.clone(), &leases);
    let all_permits = u32::try_from(config.concurrency).unwrap_or(u32::MAX);
    store_guard::hold(store.clone(), &permits, all_permits, &lifecycle);
    let (free, sending) = (Arc::clone(&permits), publisher.clone());
    let consuming = consume(broker, WorkQueue::Runs, db.clone(), free, handler, sending, &lifecycle);
    lifecycle.spawn_last(heartbeat::run(Arc::clone(&leases)));
    watch_presence(home, leases, consuming.clone(), &lifecycle);
    lifecycle.spawn(async move { reaper.run(&permits).await });
    lifecycle.spawn(sweeper::sweep(Arc::clone(&context)));
    lifecycle.spawn(store_gc::sweep(Arc::clone(&context), store.clone()));
    lifecycle.spawn(retention::run(context, store.clone()));
    let broker = vec![publisher.health(), consuming, receiving];
    let ops = ops::serve(&config.ops, SERVICE, readiness(db, broker, store, &sandbox, &lifecycle), metrics)?;
    tracing::info!(worker, concurrency = config.concurrency, "taking runs");
    Ok(Running { ops, lifecycle })
}

fn readiness(
    db: Db,
    broker: Vec<BrokerHealth>,
    store: StoreOwner,
    sandbox: &Sandbox,
    lifecycle: &Lifecycle,
) -> Readiness {
    Readiness {
        db,
        broker,
        needs_broker: true,
        http: None,
        pulses: Pulses::default(),
        store: Some(store),
        own: vec![("sandbox", sandbox.health().is_good(), sandbox.health().shown())],
        lifecycle: lifecycle.clone(),
    }
}

/// The most steps, and the most ends, that wait for their set. Each run has one task, which waits for one
/// write at a time. Those of ended runs may not be over yet.
fn queued(config: &Config) -> usize {
    (2 * config.concurrency).max(MIN_QUEUED_WRITES)
}

fn read_plans(config: &Config) -> anyhow::Result<Plans> {
    let plans = Plans::read(config.catalog.plans.as_deref())?;
    Ok(if config.catalog.retention == Switch::On { plans } else { plans.without_retention() })
}

async fn lease_context(
    config: &Config,
    worker: &str,
    plans: &Plans,
    db: &Db,
    publisher: &Publisher,
    lifecycle: &Lifecycle,
) -> anyhow::Result<LeaseContext> {
    let small_pool = DatabaseConfig { pool_size: LEASE_CONNECTIONS, ..config.database.clone() };
    let lease_db = Db::new(&small_pool, "capi-run-worker-leases")?;
    // The first cancel must not wait for a connection.
    lease_db.warm().await;
    Ok(LeaseContext {
        db: db.clone(),
        lease_db,
        publisher: publisher.clone(),
        claimant: Claimant {
            worker: worker.to_owned(),
            lease: config.lease.lease(),
            caps: plans.running_caps(),
            smallest_cap: i32::try_from(plans.smallest_running_cap()).unwrap_or(i32::MAX),
            suspects_at_once: suspects_at_once(config.concurrency),
        },
        config: config.lease,
        held: HeldLeases::new(config.lease),
        isolation: Isolation::default(),
        elsewhere: Elsewhere::default(),
        watched: Watched::default(),
        poll_requests: watch::Sender::new(0),
        lifecycle: lifecycle.clone(),
    })
}

/// Reports a missing program now, and not only with the first picture.
fn open_pictures(config: &Config, models: &ModelsFile) -> anyhow::Result<Pictures> {
    let pictures = Pictures::new(config.picture_reader()?);
    let program = pictures.program();
    if models.all().iter().any(|model| model.vision) && !program.is_file() {
        let program = program.display();
        tracing::error!(%program, "the program picture-reader is missing; runs with pictures will fail");
    }
    Ok(pictures)
}

/// Opens the work directory and the sandbox, which tests itself.
async fn open_sandbox(config: &Config, worker: &str) -> anyhow::Result<(Arc<Home>, Arc<Sandbox>)> {
    let supervisor = config.supervised.as_ref().map(Supervised::supervisor);
    let config = &config.sandbox;
    let refused = |error| anyhow::anyhow!("CAPI_WORK_DIR: cannot use {}: {error}", config.work_dir.display());
    let home = Arc::new(Home::make_for(worker, &config.work_dir, config.user).map_err(refused)?);
    let sandbox = match config.sandbox {
        Switch::Off => Sandbox::off(),
        Switch::On => Sandbox::open(&config.parts(supervisor)?, &home).await,
    };
    Ok((home, Arc::new(sandbox)))
}

/// Reports that this worker lives, and ends the leases of workers of this machine that died. Removes the
/// worker's directory when all its runs have ended.
fn watch_presence(
    home: Arc<Home>,
    leases: Arc<LeaseContext>,
    consuming: BrokerHealth,
    lifecycle: &Lifecycle,
) {
    lifecycle.spawn(neighbours::run(Arc::clone(&leases), Arc::clone(&home)));
    lifecycle.spawn(presence::run(leases, consuming));
    let flushing = lifecycle.flushing().clone();
    lifecycle.spawn_last(async move {
        flushing.cancelled().await;
        let _ = tokio::task::spawn_blocking(move || home.clear()).await;
    });
}
