//! The HTTP server: its layers, its limits, and how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

use super::middleware::{skip_small_bodies, with_request_span};

const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SHUTDOWN_SECONDS: u64 = 10;

/// A server that accepts requests.
pub struct Serving {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub task: JoinHandle<std::io::Result<()>>,
}

/// Serves what `configure` adds to each server thread: routes and app data.
pub fn serve<Configure>(address: SocketAddr, configure: Configure) -> anyhow::Result<Serving>
where
    Configure: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(skip_small_bodies))
            .wrap(Compress::default())
            .wrap(from_fn(with_request_span))
            .configure(&configure)
    })
    .workers(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(address)
    .map_err(|error| anyhow::anyhow!("CAPI_HTTP_ADDR: cannot listen on {address}: {error}"))?;
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    Ok(Serving { address, handle, task: tokio::spawn(server) })
}
