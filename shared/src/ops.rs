//! The endpoints for operators: /healthz (the process need not be restarted), /readyz (it can do its work)
//! and /metrics. A thread of its own answers them, also while the threads of the service are blocked.

mod pulse;
mod readiness;
#[cfg(test)]
mod tests;

pub use pulse::Pulses;
pub use readiness::Readiness;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::config::OpsConfig;
use pulse::READY_WITHIN;

const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the exporter must fold its histograms.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often the log and the metrics learn that threads are blocked, or no longer.
const WATCH: Duration = Duration::from_secs(1);

/// What the thread answers from.
#[derive(Clone)]
struct Ops {
    readiness: Readiness,
    /// Tests install no recorder, so they have no metrics.
    metrics: Option<PrometheusHandle>,
    /// The runtime of the service.
    service: Handle,
}

/// Starts to listen and returns the address. Must be called on the runtime of the service. The thread answers
/// until that runtime ends; a stop does not wait for it.
pub fn serve(
    config: &OpsConfig,
    service: &'static str,
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(config.ops_addr)
        .map_err(|error| anyhow::anyhow!("CAPI_OPS_ADDR: cannot listen on {}: {error}", config.ops_addr))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    write_address(config.run_dir.as_deref(), service, "ops", address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::spawn(readiness.pulses.beat("runtime"));
    let (alive, ended) = oneshot::channel::<()>();
    tokio::spawn(async move {
        // The end of the runtime drops this task, and the thread learns of it.
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    let ops = Ops { readiness, metrics, service: Handle::current() };
    let answering = async move {
        tokio::select! {
            result = ops.answer_all(listener) => result,
            _ = ended => Ok(()),
        }
    };
    std::thread::Builder::new().name("ops".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(answering) {
            tracing::error!(%error, "failed to listen on CAPI_OPS_ADDR");
        }
    })?;
    Ok(address)
}

impl Ops {
    async fn answer_all(&self, listener: TcpListener) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (mut upkeep, mut watch) = (tokio::time::interval(UPKEEP), tokio::time::interval(WATCH));
        let mut hung = Vec::new();
        loop {
            tokio::select! {
                _ = upkeep.tick() => if let Some(metrics) = &self.metrics { metrics.run_upkeep() },
                _ = watch.tick() => self.watch(&mut hung),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(connection(stream, self.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection on CAPI_OPS_ADDR");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    /// Reports which kinds of threads are blocked, when that changes. `known` is what it reported last.
    fn watch(&self, known: &mut Vec<&'static str>) {
        let hung = self.readiness.pulses.silent_for(READY_WITHIN);
        metrics::gauge!("capi_hung_threads").set(u32::try_from(hung.len()).unwrap_or(u32::MAX));
        if hung == *known {
            return;
        }
        if hung.is_empty() {
            tracing::info!("all threads run again");
        } else {
            tracing::error!(?hung, "threads are blocked");
        }
        *known = hung;
    }

    async fn answer(
        self,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        const JSON: &str = "application/json";
        let of = |good| if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let (status, kind, body) = match request.uri().path() {
            "/healthz" => {
                let hung = self.readiness.hung();
                let status = if hung.is_empty() { "alive" } else { "hung" };
                (of(hung.is_empty()), JSON, json!({"status": status, "hung": hung}).to_string())
            }
            "/readyz" => {
                let (ready, body) = self.readiness.check(&self.service).await;
                (of(ready), JSON, body.to_string())
            }
            "/metrics" => (
                StatusCode::OK,
                "text/plain; version=0.0.4",
                self.metrics.map(|handle| handle.render()).unwrap_or_default(),
            ),
            _ => (StatusCode::NOT_FOUND, "text/plain", "try /healthz, /readyz or /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        Ok(response)
    }
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

async fn connection(stream: tokio::net::TcpStream, ops: Ops) {
    let service = hyper::service::service_fn(move |request| ops.clone().answer(request));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "failed to serve a connection on CAPI_OPS_ADDR");
    }
}
