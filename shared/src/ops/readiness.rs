//! Whether a service can do its work, asked through what it serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::pulse::{ALIVE_WITHIN, Pulses, READY_WITHIN};
use crate::db::Db;
use crate::lifecycle::Lifecycle;
use crate::queue::BrokerHealth;
use crate::storage::StoreOwner;

/// How long each check may take. A probe waits one second by default, and the answer must come before.
const CHECK_WITHIN: Duration = Duration::from_millis(700);

/// A request that costs no statement.
const PROBE: &[u8] = b"OPTIONS /api/v1/me HTTP/1.1\r\nHost: capi\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8; 9] = b"HTTP/1.1 ";

/// What /readyz checks.
#[derive(Clone)]
pub struct Readiness {
    /// Pinged at each request, on the runtime of the service.
    pub db: Db,
    pub broker: Vec<BrokerHealth>,
    /// False if the service does its work without the broker. /readyz then only shows its state.
    pub needs_broker: bool,
    /// Of a service that uses the artifact store.
    pub store: Option<StoreOwner>,
    /// The service's own HTTP port, if it has one. It must answer a request.
    pub http: Option<SocketAddr>,
    /// The threads that must beat. [`super::serve`] adds the runtime of the service.
    pub pulses: Pulses,
    /// What else the service needs: name, whether it is ready, and its state as shown.
    pub own: Vec<(&'static str, bool, Value)>,
    pub lifecycle: Lifecycle,
}

impl Readiness {
    /// Runs on the thread of the ops listener. `service` is the runtime of the service.
    pub(super) async fn check(&self, service: &Handle) -> (bool, Value) {
        let hung = self.pulses.silent_for(READY_WITHIN);
        let (database, http) = tokio::join!(self.database(service), self.http());
        let broker = self.broker.iter().all(BrokerHealth::is_up);
        let draining = self.lifecycle.stopping().is_cancelled();
        let ready = hung.is_empty()
            && database
            && http != Some(false)
            && (broker || !self.needs_broker)
            && self.store.as_ref().is_none_or(StoreOwner::is_ready)
            && !draining
            && self.own.iter().all(|(_, up, _)| *up);
        let word = |up| if up { "up" } else { "down" };
        let mut shown = json!({
            "ready": ready, "database": word(database), "broker": word(broker), "draining": draining,
            "hung": hung,
        });
        if let Some(http) = http {
            shown["http"] = word(http).into();
        }
        if let Some(store) = &self.store {
            shown["store"] = store.shown();
        }
        for (name, _, state) in &self.own {
            shown[*name] = state.clone();
        }
        (ready, shown)
    }

    /// The threads that make a restart necessary. Not the database and not the broker: a restart does not
    /// bring them back.
    pub(super) fn hung(&self) -> Vec<&'static str> {
        self.pulses.silent_for(ALIVE_WITHIN)
    }

    /// On the runtime of the service, where the connections of its pool live.
    async fn database(&self, service: &Handle) -> bool {
        let db = self.db.clone();
        let mut asking = service.spawn(async move { db.is_up().await });
        let answer = tokio::time::timeout(CHECK_WITHIN, &mut asking).await;
        // A blocked runtime must not collect one task for each probe.
        asking.abort();
        matches!(answer, Ok(Ok(true)))
    }

    async fn http(&self) -> Option<bool> {
        let asked = tokio::time::timeout(CHECK_WITHIN, ask(self.http?)).await;
        Some(matches!(asked, Ok(Ok(true))))
    }
}

/// Whether the port answers with HTTP. The status does not matter.
async fn ask(mut address: SocketAddr) -> std::io::Result<bool> {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(PROBE).await?;
    let mut start = [0; ANSWER.len()];
    stream.read_exact(&mut start).await?;
    Ok(start == *ANSWER)
}
