//! The HTTP server of one gateway process: what it is made of, its limits, and how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use shared::config::{ModelsFile, Plans};
use shared::db::{Db, require_schema};
use shared::lifecycle::Lifecycle;
use shared::net::ip_policy::IpPolicy;
use shared::ops::{self, Readiness};
use shared::queue::{self, Broker, Publisher};
use shared::runs::{RunningCaps, Viewer};
use shared::storage::Artifacts;
use shared::telemetry::PrometheusHandle;
use tokio::task::JoinHandle;

use crate::apps::AppCache;
use crate::auth::{FloodGuard, Refusals, TIDY_EVERY};
use crate::config::Config;
use crate::console::Console;
use crate::context::Context;
use crate::live::Live;
use crate::middleware::{around_every_request, spare_small_bodies};
use crate::routes::routes;
use crate::{idempotency, overdue};

const SERVICE: &str = "gateway";
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SHUTDOWN_SECONDS: u64 = 10;

/// A gateway that serves.
pub struct Running {
    /// Where the API is.
    pub http: SocketAddr,
    /// Where the operators look.
    pub ops: SocketAddr,
    /// Stops it.
    pub lifecycle: Lifecycle,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Serves until a signal, finishes open requests, then stops the rest.
    pub async fn run_until_signalled(self) -> anyhow::Result<()> {
        let Self { server, serving, lifecycle, .. } = self;
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn(async move {
            stopping.cancelled().await;
            server.stop(true).await;
        });
        // A gateway that serves nothing must not look alive.
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

/// Starts a gateway. Must be called on the main runtime: connections live where they are opened.
pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Running> {
    ops::raise_open_files();
    let lifecycle = Lifecycle::default();
    let db = Db::new(&config.database, "capi-gateway")?;
    require_schema(&db).await?;
    db.warm().await;
    let broker = Broker::new(&config.broker, "capi-gateway")?;
    let publisher = Publisher::start(broker.clone(), &lifecycle);
    let live = Live::default();
    let receiving = live.clone();
    let receive = move |received| receiving.receive(received);
    let (health, subscribing) =
        queue::subscribe(broker, live.topics(), receive, lifecycle.stopping().clone());
    lifecycle.spawn(subscribing);
    let broker = vec![publisher.health(), health];
    lifecycle.spawn(overdue::sweep(db.clone(), publisher.clone(), lifecycle.clone()));
    lifecycle.spawn(idempotency::sweep(db.clone(), lifecycle.clone()));
    let context = web::Data::new(context(config, db.clone(), publisher, live.clone(), &lifecycle)?);
    lifecycle.spawn(live.forget_idle(lifecycle.clone()));
    lifecycle.spawn(tidy(context.clone()));
    let (http, serving, server) = serve(config.http_addr, context)?;
    ops::write_address(config.ops.run_dir.as_deref(), SERVICE, "http", http)?;
    let readiness = Readiness { db, broker, own: vec![], lifecycle: lifecycle.clone() };
    let ops = ops::serve(&config.ops, SERVICE, readiness, metrics).await?;
    Ok(Running { http, ops, lifecycle, server, serving })
}

fn context(
    config: &Config,
    db: Db,
    publisher: Publisher,
    live: Live,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Context> {
    let (models, plans) =
        (ModelsFile::read(&config.catalog.models)?, Plans::read(config.catalog.plans.as_deref())?);
    let caps = RunningCaps { by_plan: plans.running_caps(), otherwise: plans.smallest_running_cap().into() };
    let links = config.secret_key.links(&config.links)?;
    Ok(Context {
        db,
        publisher,
        models,
        rates: plans.rates(),
        flood: FloodGuard::new(plans.largest_rate()),
        plans,
        viewer: Viewer { caps, links: links.clone() },
        links,
        artifacts: Artifacts::open(&config.storage.artifacts_url)?,
        live,
        max_wait: Duration::from_secs(config.max_wait_seconds.into()),
        refusals: Refusals::default(),
        trusted_proxies: config.trusted_proxies.0.clone(),
        ip_policy: IpPolicy::new(config.webhook_networks.webhook_allowed_networks.0.clone()),
        apps: AppCache::default(),
        console: Console::new(config)?,
        lifecycle: lifecycle.clone(),
    })
}

type Serving = (SocketAddr, JoinHandle<std::io::Result<()>>, ServerHandle);

fn serve(address: SocketAddr, context: web::Data<Context>) -> anyhow::Result<Serving> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(context.clone())
            .wrap(from_fn(spare_small_bodies))
            .wrap(Compress::default())
            .wrap(from_fn(around_every_request))
            .configure(routes)
    })
    .workers(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(address)
    .map_err(|error| anyhow::anyhow!("CAPI_HTTP_ADDR: cannot listen on {address}: {error}"))?;
    let http = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    Ok((http, tokio::spawn(server), handle))
}

async fn tidy(context: web::Data<Context>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_EVERY) => {
                context.flood.tidy();
                context.console.tidy();
            }
            () = context.lifecycle.stopping().cancelled() => return,
        }
    }
}
