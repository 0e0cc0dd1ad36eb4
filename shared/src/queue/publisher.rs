//! Sends nudges from a bounded buffer in the process, with confirms and `mandatory`. Callers never wait: a full
//! buffer or a dead broker costs a nudge, and the sweepers make up for it.

use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::{ANSWER_TIMEOUT, Broker, BrokerHealth, News, Nudge, QueueError, Topology, Work, answered};
use crate::lifecycle::Lifecycle;

/// Nudges that wait for the broker in this process.
const BUFFER: usize = 10_000;
/// Messages that are on the way at once and whose confirms are awaited.
const BATCH: usize = 512;
/// What a stopping process may still spend on its buffer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
const PERSISTENT: u8 = 2;

/// Which messages are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Ready(Work),
    Dead(Work),
}

enum Order {
    Publish(Work, Nudge),
    Announce(News),
    Count(Counted, oneshot::Sender<u32>),
}

/// A handle to the process's one publishing connection.
#[derive(Clone)]
pub struct Publisher {
    orders: mpsc::Sender<Order>,
    health: BrokerHealth,
}

impl Publisher {
    /// Starts the publishing task. It outlives the other tasks and flushes what they left.
    #[must_use]
    pub fn start(broker: Broker, lifecycle: &Lifecycle) -> Self {
        let (orders, received) = mpsc::channel(BUFFER);
        let health = BrokerHealth::default();
        let publisher = Self { orders, health: health.clone() };
        let flushing = lifecycle.flushing().clone();
        lifecycle.spawn_last(async move {
            let received = Mutex::new(received);
            let session = |connection: std::sync::Arc<lapin::Connection>| {
                let (received, flushing, topology) = (&received, flushing.clone(), broker.topology.clone());
                async move {
                    let channel = connection.create_channel().await?;
                    channel.confirm_select(ConfirmSelectOptions::default()).await?;
                    let mut received = received.lock().await;
                    let publishing = publish_all(&channel, &topology, &mut received);
                    tokio::select! {
                        ended = publishing => ended,
                        () = flushing.cancelled() => {
                            // Whoever orders has ended: send what is there.
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

    /// "The owner of this id may have work." Returns at once.
    pub fn nudge(&self, work: Work, id: Uuid) {
        if self.orders.try_send(Order::Publish(work, Nudge { id })).is_err() {
            metrics::counter!("capi_nudges_dropped_total").increment(1);
        }
    }

    /// Tells whoever listens. Returns at once.
    pub fn announce(&self, news: News) {
        if self.orders.try_send(Order::Announce(news)).is_err() {
            metrics::counter!("capi_announcements_dropped_total").increment(1);
        }
    }

    /// Messages in a queue that nobody has taken, or `None` while the broker is away.
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

/// Until the buffer is closed and empty, or something fails. What was ordered while a batch was on its way is the next
/// batch: at rest nothing waits, and under load the broker writes its log once for many messages.
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

async fn carry_out(channel: &Channel, topology: &Topology, order: Order) -> Result<(), QueueError> {
    match order {
        Order::Publish(work, nudge) => publish(channel, topology.queue(work), nudge).await,
        Order::Announce(news) => announce(channel, topology, news).await,
        Order::Count(counted, answer) => {
            let queue = match counted {
                Counted::Ready(work) => topology.queue(work),
                Counted::Dead(work) => topology.dead_queue(work),
            };
            let _ = answer.send(count_ready(channel, &queue).await?);
            Ok(())
        }
    }
}

/// Nobody may be listening, and a process that restarts reads the database anyway: told once, not kept.
async fn announce(channel: &Channel, topology: &Topology, news: News) -> Result<(), QueueError> {
    let (nudge, topic) = (Nudge { id: news.id() }.encode(), news.topic());
    let (exchange, key) = (topology.exchange(topic.exchange()), topic.routing_key());
    let telling = async {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish(exchange.into(), key.into(), options, &nudge, properties).await?.await
    };
    answered("announcing", telling).await.map(drop)
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
    let sent = match answered("publishing", sending).await {
        Ok(Confirmation::Ack(None)) => Ok(()),
        // An ack that carries the message back means that it was not routed.
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
    Ok(answered("counting messages", declaring).await?.message_count())
}
