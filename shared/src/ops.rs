//! The endpoints for operators: /healthz (the process is alive), /readyz (it has all it needs) and /metrics.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::config::OpsConfig;
use crate::db::Db;
use crate::lifecycle::Lifecycle;
use crate::queue::BrokerHealth;
use crate::storage::StoreOwner;

const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the exporter must fold its histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// What /readyz checks.
#[derive(Clone)]
pub struct Readiness {
    /// Pinged at each request.
    pub db: Db,
    pub broker: Vec<BrokerHealth>,
    /// Of a service that uses the artifact store.
    pub store: Option<StoreOwner>,
    /// What else the service needs: name, whether it is ready, and its state as shown.
    pub own: Vec<(&'static str, bool, Value)>,
    pub lifecycle: Lifecycle,
}

/// Starts to listen and returns the address. Tests install no recorder, so they have no `metrics`.
pub async fn serve(
    config: &OpsConfig,
    service: &'static str,
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(config.ops_addr)
        .await
        .map_err(|error| anyhow::anyhow!("CAPI_OPS_ADDR: cannot listen on {}: {error}", config.ops_addr))?;
    let address = listener.local_addr()?;
    write_address(config.run_dir.as_deref(), service, "ops", address)?;
    // A stop does not wait for this task: it answers until the process ends.
    tokio::spawn(async move {
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => if let Some(metrics) = &metrics { metrics.run_upkeep() },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(connection(stream, readiness.clone(), metrics.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection on CAPI_OPS_ADDR");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    });
    Ok(address)
}

/// Raises the soft limit of open files to the hard limit. Each client needs a file, and the usual soft limit
/// is 1024.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, limit = limit.current, "failed to raise the limit of open files");
    }
}

/// Logs an address and writes it to RUN_DIR/SERVICE.KIND.
pub fn write_address(
    run_dir: Option<&Path>,
    service: &str,
    kind: &str,
    address: SocketAddr,
) -> anyhow::Result<()> {
    tracing::info!(%address, kind, "listening");
    if let Some(dir) = run_dir {
        let path = dir.join(format!("{service}.{kind}"));
        std::fs::write(&path, format!("{address}\n"))
            .map_err(|error| anyhow::anyhow!("CAPI_RUN_DIR: cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

async fn connection(stream: tokio::net::TcpStream, readiness: Readiness, metrics: Option<PrometheusHandle>) {
    let service =
        hyper::service::service_fn(move |request| answer(request, readiness.clone(), metrics.clone()));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "failed to serve a connection on CAPI_OPS_ADDR");
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, kind, body) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "application/json", json!({"status": "alive"}).to_string()),
        "/readyz" => {
            let (ready, body) = readiness.check().await;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, "application/json", body.to_string())
        }
        "/metrics" => (
            StatusCode::OK,
            "text/plain; version=0.0.4",
            metrics.map(|handle| handle.render()).unwrap_or_default(),
        ),
        _ => (StatusCode::NOT_FOUND, "text/plain", "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

impl Readiness {
    async fn check(&self) -> (bool, Value) {
        let database = self.db.is_up().await;
        let broker = self.broker.iter().all(BrokerHealth::is_up);
        let draining = self.lifecycle.stopping().is_cancelled();
        let store = self.store.as_ref().is_none_or(StoreOwner::is_ready);
        let ready = database && broker && store && !draining && self.own.iter().all(|(_, up, _)| *up);
        let word = |up| if up { "up" } else { "down" };
        let mut shown =
            json!({"ready": ready, "database": word(database), "broker": word(broker), "draining": draining});
        if let Some(store) = &self.store {
            shown["store"] = store.shown();
        }
        for (name, _, state) in &self.own {
            shown[*name] = state.clone();
        }
        (ready, shown)
    }
}
