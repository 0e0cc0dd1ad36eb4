//! The HTTP server: its layers, its limits, and how it stops.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, ServerHandle};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{App, rt};
use shared::ops::Pulses;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::connection::{Client, Connection, LINGER};
use super::large_body::bound_large_bodies;
use super::middleware::{skip_small_bodies, with_request_span};

const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const SHUTDOWN_SECONDS: u64 = 10;
/// Server threads on a machine with many processors. The database is the bottleneck long before them, and all
/// threads together must stay under the container's bound of 1024.
const MAX_THREADS: usize = 16;
/// Threads of each server thread for work that blocks. Passwords and comparisons of texts need few.
const MAX_BLOCKING_THREADS: usize = 16;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 2048;
/// How long a client may leave sent bytes unread. The kernel then closes its connection, which frees the rest
/// of the answer. A client that loses its network for a moment needs some of this time.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel holds for a client that does not read. They suffice for 20 Mbit/s over 100 ms.
const SEND_BUFFER: usize = 256 << 10;

/// A server that accepts requests.
pub struct Serving {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub task: JoinHandle<std::io::Result<()>>,
}

/// Serves what `configure` adds to each server thread: routes and app data. Each thread beats a pulse.
pub fn serve<Configure>(
    address: SocketAddr,
    keep_alive: Duration,
    pulses: &Pulses,
    configure: Configure,
) -> anyhow::Result<Serving>
where
    Configure: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let refused = |error| anyhow::anyhow!("CAPI_HTTP_ADDR: cannot listen on {address}: {error}");
    let pulses = pulses.clone();
    let builder = Server::build()
        .workers(std::thread::available_parallelism().map_or(2, |all| all.get().min(MAX_THREADS)))
        .worker_max_blocking_threads(MAX_BLOCKING_THREADS)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let draining = builder.graceful_shutdown_signal();
    let service = move || {
        rt::spawn(pulses.beat("http"));
        let app = App::new()
            .wrap(from_fn(bound_large_bodies))
            .wrap(from_fn(skip_small_bodies))
            .wrap(Compress::default())
            .wrap(from_fn(with_request_span))
            .configure(&configure)
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        let draining = draining.clone();
        let http = HttpService::build()
            .keep_alive(KeepAlive::Timeout(keep_alive))
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(LINGER)
            // A client that closes its half is noticed in `connection`. With false, the answer to a request
            // before garbage would be lost.
            .h1_allow_half_closed(true)
            .graceful_shutdown_signal(move || {
                let draining = draining.clone();
                async move { draining.notified().await }
            })
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(connection.client());
            })
            .expect(fn_service(|request: Request| {
                if let Some(client) = request.conn_data::<Client>() {
                    client.expects_continue();
                }
                ready(Ok::<_, actix_http::Error>(request))
            }))
            .h1(map_config(app, |()| AppConfig::default()));
        let accept = fn_service(move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            ready(Ok::<_, DispatchError>((Connection::new(stream, keep_alive), peer)))
        });
        accept.and_then(http)
    };
    let listener = listener(address).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let server = builder.listen("http", listener, service).map_err(refused)?.run();
    let handle = server.handle();
    Ok(Serving { address, handle, task: tokio::spawn(server) })
}

/// Accepted connections inherit the options of the listener.
fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_user_timeout(Some(UNREAD_TIMEOUT))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
