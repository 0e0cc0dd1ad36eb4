//! Reports the death of a worker: to the database, and then to the other workers.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db::Db;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Broker, Publisher};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::config::Config;
use crate::leases::store::end_leases_of;

const NAME: &str = "capi-run-worker-supervisor";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long the broker may take. Without the broadcast, the other workers poll a few seconds later.
const BROADCAST_WITHIN: Duration = Duration::from_secs(3);
const HEALTH_POLL: Duration = Duration::from_millis(5);
/// The publisher sends a message at once. Its stop must not overtake the message.
const SENT_WITHIN: Duration = Duration::from_millis(50);

/// Ends the worker's leases as losses. Repeats the statement during an outage, for this time. Returns how
/// many leases it ended, or none if the database did not answer.
pub(super) async fn end_leases(config: &Config, worker: &str, within: Duration) -> Option<i64> {
    let one = DatabaseConfig { pool_size: 1, ..config.database.clone() };
    let db = Db::new(&one, NAME)
        .inspect_err(|error| tracing::error!(%error, "failed to read CAPI_DATABASE_URL"))
        .ok()?;
    let (until, mut pause) = (Instant::now() + within, FIRST_PAUSE);
    loop {
        match db.write(|mut conn| async move { end_leases_of(&mut conn, worker).await }).await {
            Ok(ended) => return Some(ended),
            Err(error) => {
                tracing::warn!(worker, %error, "failed to end the leases of the dead worker");
                if !error.is_outage() || Instant::now() + pause >= until {
                    return None;
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Tells the other workers that leases are free.
pub(super) async fn broadcast(config: &Config) {
    let Ok(broker) = Broker::new(&config.broker, NAME) else { return };
    let lifecycle = Lifecycle::default();
    let publisher = Publisher::start(broker, &lifecycle);
    let connected = async {
        while !publisher.health().is_up() {
            sleep(HEALTH_POLL).await;
        }
    };
    if timeout(BROADCAST_WITHIN, connected).await.is_err() {
        tracing::warn!("failed to tell the other workers that leases are free; they poll for them");
    }
    // The receivers poll for all leases that are free, so the broadcast names no run.
    publisher.broadcast(Broadcast::LeaseReleased(Uuid::nil().into()));
    sleep(SENT_WITHIN).await;
    lifecycle.stop().await;
}
