//! Sends nudges and broadcasts from a bounded buffer. Nudges are sent `mandatory` and with confirms. Callers
//! never wait: a full buffer or a dead broker loses a nudge, and the sweepers repair that. Messages for
//! streams have a small buffer and a channel of their own, so that they delay no nudge.

use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::live_publisher::{LIVE_BUFFER, Live, publish_live};
use super::{
    ANSWER_TIMEOUT, Broadcast, Broker, BrokerHealth, ModelWords, Nudge, QueueError, Topic, Topology,
    WatchedRuns, WorkQueue, answered,
};
use crate::lifecycle::Lifecycle;

/// Messages that may wait for the broker in this process.
const BUFFER: usize = 10_000;
/// Messages that may be in flight, without a confirm, at once.
const BATCH: usize = 512;
/// How long a stopping process may take to send its buffer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
const PERSISTENT: u8 = 2;

/// Which queue to count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Ready(WorkQueue),
    Dead(WorkQueue),
}

enum Order {
    Nudge(WorkQueue, Nudge),
    Broadcast(Broadcast),
    Count(Counted, oneshot::Sender<u32>),
}

/// A handle to the process's one publishing connection.
#[derive(Clone)]
pub struct Publisher {
    orders: mpsc::Sender<Order>,
    live: mpsc::Sender<Live>,
    health: BrokerHealth,
}

impl Publisher {
    /// Starts the publishing task. It outlives the other tasks and sends what they left in the buffer.
    #[must_use]
    pub fn start(broker: Broker, lifecycle: &Lifecycle) -> Self {
        let (orders, received) = mpsc::channel(BUFFER);
        let (live, live_received) = mpsc::channel(LIVE_BUFFER);
        let health = BrokerHealth::default();
        let publisher = Self { orders, live, health: health.clone() };
        let flushing = lifecycle.flushing().clone();
        lifecycle.spawn_last(async move {
            let (received, live_received) = (Mutex::new(received), Mutex::new(live_received));
            let session = |connection: std::sync::Arc<lapin::Connection>| {
                let (received, live_received) = (&received, &live_received);
                let (flushing, topology) = (flushing.clone(), broker.topology.clone());
                async move {
                    let channel = confirming(&connection).await?;
                    let (mut received, mut live_received) =
                        (received.lock().await, live_received.lock().await);
                    let publishing = publish_all(&channel, &topology, &mut received);
                    tokio::select! {
                        ended = publishing => ended,
                        never = publish_live(&connection, &topology, &mut live_received) => match never {},
                        () = flushing.cancelled() => {
                            // All other tasks have ended: send the rest of the buffer.
                            received.close();
                            let flushing = publish_all(&channel, &topology, &mut received);
                            tokio::time::timeout(FLUSH_TIMEOUT, flushing).await.unwrap_or(Ok(()))
                        }
                    }
                }
            };
            broker.supervise("publisher", health, flushing.clone(), session).await;
        });
        publisher
    }

    /// Says that the user or lane with this id may have work. Returns at once.
    pub fn nudge(&self, queue: WorkQueue, id: Uuid) {
        if self.orders.try_send(Order::Nudge(queue, Nudge { id })).is_err() {
            metrics::counter!("capi_nudges_dropped_total").increment(1);
        }
    }

    /// Sends to all subscribed processes. Returns at once.
    pub fn broadcast(&self, broadcast: Broadcast) {
        if self.orders.try_send(Order::Broadcast(broadcast)).is_err() {
            metrics::counter!("capi_broadcasts_dropped_total").increment(1);
        }
    }

    /// Tells workers which runs have streams. Returns at once.
    pub fn announce(&self, watched: WatchedRuns) {
        if self.live.try_send(Live::Watched(watched)).is_err() {
            metrics::counter!("capi_broadcasts_dropped_total").increment(1);
        }
    }

    /// Sends the words of a model to the streams of its run. Returns at once.
    pub fn send_words(&self, words: ModelWords) {
        if self.live.try_send(Live::Words(words)).is_err() {
            metrics::counter!("capi_deltas_dropped_total").increment(1);
        }
    }

    /// The number of ready messages in a queue, or `None` while the broker is down.
    pub(super) async fn count(&self, what: Counted) -> Option<u32> {
        let (answer, counted) = oneshot::channel();
        self.orders.try_send(Order::Count(what, answer)).ok()?;
        tokio::time::timeout(ANSWER_TIMEOUT, counted).await.ok()?.ok()
    }

    /// For readiness.
    #[must_use]
    pub fn health(&self) -> BrokerHealth {
        self.health.clone()
    }
}

/// Runs until the buffer is closed and empty, or a call fails. The orders that arrive while a batch is in
/// flight are the next batch. An idle system pays no delay for it, and under load the broker writes its log
/// once a batch.
async fn publish_all(
    channel: &Channel,
    topology: &Topology,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<(), QueueError> {
    let mut batch = Vec::with_capacity(BATCH);
    while orders.recv_many(&mut batch, BATCH).await > 0 {
        try_join_all(batch.drain(..).map(|order| carry_out(channel, topology, order))).await?;
    }
    Ok(())
}

pub(super) async fn confirming(connection: &lapin::Connection) -> Result<Channel, QueueError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn carry_out(channel: &Channel, topology: &Topology, order: Order) -> Result<(), QueueError> {
    match order {
        Order::Nudge(queue, nudge) => publish(channel, topology.queue(queue), nudge).await,
        Order::Broadcast(broadcast) => {
            let body = Nudge { id: broadcast.id() }.encode();
            send_to_topic(channel, topology, broadcast.topic(), body).await
        }
        Order::Count(counted, answer) => {
            let queue = match counted {
                Counted::Ready(queue) => topology.queue(queue),
                Counted::Dead(queue) => topology.dead_queue(queue),
            };
            let _ = answer.send(count_ready(channel, &queue).await?);
            Ok(())
        }
    }
}

/// Neither mandatory nor persistent: there may be no subscriber, and a restarted process reads the database
/// anyway.
pub(super) async fn send_to_topic(
    channel: &Channel,
    topology: &Topology,
    topic: Topic,
    body: Vec<u8>,
) -> Result<(), QueueError> {
    let (exchange, key) = (topology.exchange(topic.exchange()), topic.routing_key());
    let sending = async {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await?.await
    };
    answered("publish a broadcast", sending).await.map(drop)
}

pub(super) async fn publish(channel: &Channel, queue: String, nudge: Nudge) -> Result<(), QueueError> {
    let sending = async {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        channel
            .basic_publish("".into(), queue.as_str().into(), options, &nudge.encode(), properties)
            .await?
            .await
    };
    let sent = match answered("publish a nudge", sending).await {
        Ok(Confirmation::Ack(None)) => Ok(()),
        // An ack that returns the message means that the broker did not route it.
        Ok(_) => Err(QueueError::NotRouted(queue)),
        Err(error) => Err(error),
    };
    let outcome = if sent.is_ok() { "confirmed" } else { "lost" };
    metrics::counter!("capi_nudges_published_total", "outcome" => outcome).increment(1);
    sent
}

async fn count_ready(channel: &Channel, queue: &str) -> Result<u32, QueueError> {
    let options = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
    let declaring = channel.queue_declare(queue.into(), options, FieldTable::default());
    Ok(answered("count messages", declaring).await?.message_count())
}
