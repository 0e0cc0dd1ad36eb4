//! A queue prefix of a test's own.

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use uuid::Uuid;

use super::{block_on_elsewhere, required};
use crate::queue::{Topology, Work};

/// Dropped with its queues.
pub struct TestQueues {
    /// amqp://…
    pub url: String,
    /// For CAPI_QUEUE_PREFIX.
    pub prefix: String,
}

impl TestQueues {
    /// Makes up a prefix; the services declare the queues.
    #[must_use]
    pub fn create() -> Self {
        Self { url: required("CAPI_TEST_AMQP_URL"), prefix: format!("test-{}", Uuid::now_v7().simple()) }
    }
}

impl Drop for TestQueues {
    fn drop(&mut self) {
        let (url, topology) = (self.url.clone(), Topology::new(&self.prefix));
        block_on_elsewhere(async move {
            let Ok(connection) = Connection::connect(&url, ConnectionProperties::default()).await else {
                return;
            };
            let Ok(channel) = connection.create_channel().await else {
                return;
            };
            let events = topology.events_exchange();
            let _ = channel.exchange_delete(events.into(), ExchangeDeleteOptions::default()).await;
            for work in [Work::Runs, Work::Deliveries] {
                for queue in [topology.queue(work), topology.dead_queue(work)] {
                    let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
                }
            }
        });
    }
}
