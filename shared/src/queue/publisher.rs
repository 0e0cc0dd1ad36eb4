//! Sends nudges and broadcasts from a bounded buffer. Nudges are sent `mandatory` and with confirms,
//! broadcasts over a channel without confirms. Callers never wait: a full buffer or a dead broker loses a
//! nudge, and the sweepers repair that. Messages for streams have a small buffer and a channel of their own,
//! so that they delay no nudge.

use std::time::Duration;

use futures_util::future::{join_all, join5};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::backlog::Backlogs;
use super::live_publisher::{LIVE_BUFFER, Live, publish_live};
use super::outbox::{Counted, Newer, Order, Outbox};
use super::publish::{publish, publish_newer};
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
/// How often the state of the channel without confirms is read. The broker closes it if an exchange is
/// missing.
const STATUS_POLL: Duration = Duration::from_secs(1);
/// After that, how long the batch in flight may take to learn its outcome.
const OUTCOME_PAUSE: Duration = Duration::from_millis(250);

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
                    let channels = Channels::open(&connection).await?;
                    let (mut received, mut live_received) =
                        (received.lock().await, live_received.lock().await);
                    let publishing = publish_all(&channels, &topology, &mut received);
                    tokio::select! {
                        ended = publishing => ended,
                        () = closed(&channels.plain) => Err(QueueError::ChannelClosed),
                        never = publish_live(&connection, &topology, &mut live_received) => match never {},
                        () = flushing.cancelled() => {
                            // All other tasks have ended: send the rest of the buffer.
                            received.close();
                            let flushing = publish_all(&channels, &topology, &mut received);
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
        self.nudge_times(queue, id, 1);
    }

    /// The same for several pieces of work. Returns at once.
    pub fn nudge_times(&self, queue: WorkQueue, id: Uuid, count: u32) {
        self.put_back(queue, Nudge::times(id, count));
    }

    /// Says that a create added work. While the queue is full, the nudge waits for room. Returns at once.
    pub fn nudge_if_room(&self, queue: WorkQueue, id: Uuid) {
        self.send(Order::NudgeIfRoom(queue, Nudge::new(id)));
    }

    /// Returns false if the nudge is lost because the buffer is full.
    pub(super) fn put_back(&self, queue: WorkQueue, nudge: Nudge) -> bool {
        self.send(Order::Nudge(queue, nudge))
    }

    /// Sends a message of a newer version to its queue again.
    pub(super) fn send_newer(&self, queue: WorkQueue, newer: Newer) {
        self.send(Order::Newer(queue, newer));
    }

    fn send(&self, nudge: Order) -> bool {
        let sent = self.orders.try_send(nudge).is_ok();
        if !sent {
            metrics::counter!("capi_nudges_dropped_total").increment(1);
        }
        sent
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

/// The channels of one connection.
struct Channels {
    /// For nudges.
    confirmed: Channel,
    /// For broadcasts and counts. The broker closes it when an exchange or a queue is missing.
    plain: Channel,
}

impl Channels {
    async fn open(connection: &lapin::Connection) -> Result<Self, QueueError> {
        Ok(Self { confirmed: confirming(connection).await?, plain: connection.create_channel().await? })
    }
}

/// Returns once the channel is unusable, after [`OUTCOME_PAUSE`].
async fn closed(channel: &Channel) {
    while channel.status().connected() {
        tokio::time::sleep(STATUS_POLL).await;
    }
    tokio::time::sleep(OUTCOME_PAUSE).await;
}

/// Runs until the buffer is closed and empty, or a call fails. The orders that arrive while a batch is in
/// flight are the next batch. An idle system pays no delay for it, and under load the broker writes its log
/// once a batch.
async fn publish_all(
    channels: &Channels,
    topology: &Topology,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<(), QueueError> {
    let (mut batch, mut backlogs) = (Vec::with_capacity(BATCH), Backlogs::default());
    loop {
        tokio::select! {
            received = orders.recv_many(&mut batch, BATCH) => if received == 0 { return Ok(()) },
            () = until(backlogs.next()) => {}
        }
        let now = Instant::now();
        let mut outbox = Outbox::sort(batch.drain(..), |queue, nudge| backlogs.spare(queue, nudge, now));
        outbox.nudges.extend(backlogs.take_spared());
        let all = WorkQueue::ALL.into_iter();
        let due = all.filter(|queue| backlogs.is_due(*queue, outbox.created(*queue), now)).collect();
        // The counts are for the next batches, so that no nudge waits for one.
        for (queue, ready) in send(channels, topology, due, outbox).await? {
            backlogs.note(queue, now, ready);
        }
    }
}

/// Never returns without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Sends a batch and counts the queues `due`. Waits for the outcome of all, so that each lost nudge is
/// counted.
async fn send(
    channels: &Channels,
    topology: &Topology,
    due: Vec<WorkQueue>,
    outbox: Outbox,
) -> Result<Vec<(WorkQueue, u32)>, QueueError> {
    let Channels { confirmed, plain } = channels;
    let (nudges, newer) = (outbox.nudges.into_iter(), outbox.newer.into_iter());
    let broadcasts = outbox.broadcasts.into_iter();
    let (nudges, newer, broadcasts, answers, backlogs) = join5(
        join_all(nudges.map(|(queue, nudge)| publish(confirmed, topology.queue(queue), nudge))),
        join_all(newer.map(|(queue, newer)| publish_newer(confirmed, topology.queue(queue), newer))),
        join_all(broadcasts.map(|(topic, body)| send_to_topic(plain, topology, topic, body))),
        join_all(outbox.counts.into_iter().map(|(counted, answer)| count(plain, topology, counted, answer))),
        join_all(due.into_iter().map(|queue| count_backlog(plain, topology, queue))),
    )
    .await;
    nudges.into_iter().chain(newer).chain(broadcasts).chain(answers).collect::<Result<(), _>>()?;
    backlogs.into_iter().collect()
}

pub(super) async fn confirming(connection: &lapin::Connection) -> Result<Channel, QueueError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
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

async fn count(
    channel: &Channel,
    topology: &Topology,
    counted: Counted,
    answer: oneshot::Sender<u32>,
) -> Result<(), QueueError> {
    let queue = match counted {
        Counted::Ready(queue) => topology.queue(queue),
        Counted::Dead(queue) => topology.dead_queue(queue),
    };
    let _ = answer.send(count_ready(channel, &queue).await?);
    Ok(())
}

async fn count_backlog(
    channel: &Channel,
    topology: &Topology,
    queue: WorkQueue,
) -> Result<(WorkQueue, u32), QueueError> {
    Ok((queue, count_ready(channel, &topology.queue(queue)).await?))
}

async fn count_ready(channel: &Channel, queue: &str) -> Result<u32, QueueError> {
    let options = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
    let declaring = channel.queue_declare(queue.into(), options, FieldTable::default());
    Ok(answered("count messages", declaring).await?.message_count())
}
