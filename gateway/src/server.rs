//! The HTTP server: limits, request ids, and the headers that every answer carries.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpMessage, HttpServer, web};
use shared::config::{ModelsFile, Plans};
use shared::db::{Db, require_schema};
use shared::lifecycle::Lifecycle;
use shared::net::ip_policy::IpPolicy;
use shared::ops::{self, Readiness};
use shared::queue::{Broker, Publisher};
use shared::runs::RunningCaps;
use shared::telemetry::PrometheusHandle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::apps::AppCache;
use crate::auth::Window;
use crate::config::Config;
use crate::context::Context;
use crate::error::ApiError;
use crate::routes::routes;

const SERVICE: &str = "gateway";
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SHUTDOWN_SECONDS: u64 = 10;
const MAX_REQUEST_ID: usize = 128;

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
    let (models, plans) =
        (ModelsFile::read(&config.catalog.models)?, Plans::read(config.catalog.plans.as_deref())?);
    let lifecycle = Lifecycle::default();
    let db = Db::new(&config.database, "capi-gateway")?;
    require_schema(&db).await?;
    db.warm().await;
    let publisher = Publisher::start(Broker::new(&config.broker, "capi-gateway")?, &lifecycle);
    let readiness =
        Readiness { db: db.clone(), broker: vec![publisher.health()], lifecycle: lifecycle.clone() };
    let caps = RunningCaps { by_plan: plans.running_caps(), otherwise: plans.smallest_running_cap().into() };
    let context = web::Data::new(Context {
        db,
        publisher,
        models,
        rates: plans.rates(),
        caps,
        ip_policy: IpPolicy::new(config.webhook_networks.webhook_allowed_networks.clone()),
        apps: AppCache::default(),
    });
    let server = HttpServer::new(move || {
        App::new().app_data(context.clone()).wrap(from_fn(around_every_request)).configure(routes)
    })
    .workers(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(config.http_addr)
    .map_err(|error| anyhow::anyhow!("CAPI_HTTP_ADDR: cannot listen on {}: {error}", config.http_addr))?;
    let http = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    ops::announce(config.ops.run_dir.as_deref(), SERVICE, "http", http)?;
    let ops = ops::serve(&config.ops, SERVICE, readiness, metrics).await?;
    Ok(Running { http, ops, lifecycle, server: handle, serving })
}

async fn around_every_request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = request_id(&request);
    let started = std::time::Instant::now();
    let (http, answer) = next.call(request).await?.into_parts();
    // Only here is the request's id known, so problems are written here.
    let problem =
        answer.error().and_then(|error| error.as_error::<ApiError>()).map(|error| error.respond(&id));
    let mut response = problem.unwrap_or_else(|| answer.map_into_boxed_body());
    let window = http.extensions().get::<Window>().copied();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Some(Window { limit, remaining, free_in }) = window {
        let policy = format!(r#""user";q={limit};w=60"#);
        let state = format!(r#""user";r={remaining};t={free_in}"#);
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    let status = response.status().as_u16();
    let route = http.match_pattern().unwrap_or_else(|| "none".to_owned());
    tracing::debug!(request_id = id, route, status, "answered");
    metrics::histogram!("capi_http_request_seconds", "route" => route, "status" => status.to_string())
        .record(started.elapsed().as_secs_f64());
    Ok(ServiceResponse::new(http, response))
}

/// The request's own id where it is sane, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let own = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sane = own.filter(|id| {
        !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    sane.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
