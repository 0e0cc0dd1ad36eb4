//! Owns a connection: connects under a deadline, declares, runs the session. After an error it drops
//! everything and starts again with backoff, for ever. The client library's recovery stays off: it has no
//! deadline.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{QueueError, Topology};
use crate::config::BrokerConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// How often the connection status is read without an event.
const STATUS_POLL: Duration = Duration::from_secs(2);
/// An event may come before the status changes.
const EVENT_POLL: Duration = Duration::from_millis(250);
/// Seconds. After two missed heartbeats the connection to an unreachable peer ends.
const HEARTBEAT: u16 = 5;
/// Bytes. A nudge has about forty. The client keeps 64 frames a connection: with RabbitMQ's default of 128
/// KiB they would take 8 MB.
const FRAME_MAX: u32 = 16 * 1024;

/// The broker's address and the names of its queues.
#[derive(Clone)]
pub struct Broker {
    uri: AMQPUri,
    pub topology: Topology,
    name: &'static str,
}

/// Whether one supervised connection is up.
#[derive(Clone, Debug, Default)]
pub struct BrokerHealth(Arc<AtomicBool>);

impl BrokerHealth {
    /// True from the end of the declarations until the next error.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Broker {
    /// Checks the URL and does not connect.
    pub fn new(config: &BrokerConfig, name: &'static str) -> anyhow::Result<Self> {
        let mut uri: AMQPUri = config.url.expose_secret().parse().map_err(|error| {
            anyhow::anyhow!("CAPI_AMQP_URL must be amqp://USER:PASSWORD@HOST:PORT/VHOST: {error}")
        })?;
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
        uri.query.frame_max = uri.query.frame_max.or(Some(FRAME_MAX));
        Ok(Self { uri, topology: Topology::new(&config.queue_prefix), name })
    }

    /// Runs `session` over one connection after the other, until `stopping` or until a session returns `Ok`.
    pub async fn supervise<F>(
        &self,
        role: &'static str,
        health: BrokerHealth,
        stopping: CancellationToken,
        mut session: impl FnMut(Arc<Connection>) -> F,
    ) where
        F: Future<Output = Result<(), QueueError>>,
    {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let connecting = tokio::select! {
                connecting = self.connect() => connecting,
                () = stopping.cancelled() => return,
            };
            let ended = match connecting {
                Ok(connection) => {
                    tracing::info!(role, "broker connection is up");
                    health.0.store(true, Ordering::Relaxed);
                    let begun = Instant::now();
                    let connection = Arc::new(connection);
                    let ended = tokio::select! {
                        ended = session(Arc::clone(&connection)) => ended,
                        // A session that waits for orders or for a permit does not notice a lost connection.
                        () = lost(&connection) => Err(QueueError::ConnectionLost),
                    };
                    health.0.store(false, Ordering::Relaxed);
                    // A session that fails at once must not reset the backoff.
                    if begun.elapsed() > LAST_BACKOFF {
                        backoff = FIRST_BACKOFF;
                    }
                    let closing = connection.close(200, "session over".into());
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
                    ended
                }
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            if stopping.is_cancelled() {
                return;
            }
            metrics::counter!("capi_broker_connection_failures_total", "role" => role).increment(1);
            tracing::warn!(role, %error, retry_ms = backoff.as_millis(), "broker connection failed");
            tokio::select! {
                () = tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = stopping.cancelled() => return,
            }
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, QueueError> {
        let connecting = async {
            let properties = ConnectionProperties::default().with_connection_name(self.name.into());
            let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
            let channel = connection.create_channel().await?;
            self.topology.declare(&channel).await?;
            channel.close(200, "declared".into()).await?;
            Ok(connection)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or(Err(QueueError::Timeout(CONNECT_TIMEOUT, "connect and declare")))
    }
}

/// Returns once the connection is unusable.
async fn lost(connection: &Connection) {
    let mut events = pin!(connection.events_listener());
    while connection.status().connected() {
        if let Ok(event) = tokio::time::timeout(STATUS_POLL, events.next()).await {
            tokio::time::sleep(if event.is_some() { EVENT_POLL } else { STATUS_POLL }).await;
        }
    }
}
