//! Subscribes to broadcasts. Each process has its own queue, which ends with its connection, and binds only
//! the topics that it needs. A lost broadcast does no harm: subscribers read the database after each bind and
//! poll it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerHealth, Exchange, QueueError, Received, Topic, Topology, answered};

/// Bounds the queue of a process that does not read its connection; the broker drops the oldest messages
/// first. A process that reads passes each message on at once, so its callback must not block.
const MAX_QUEUED: i32 = 10_000;
/// The same in bytes: words of models are longer than ids.
const MAX_QUEUED_BYTES: i32 = 16 << 20;
/// How often every topic is bound again. A deleted binding gives no error, so only this repairs it. A missing
/// exchange fails the session, and the next session declares it.
const REBIND_INTERVAL: Duration = Duration::from_secs(10);
/// Milliseconds after which the broker drops a broadcast.
const TTL: i32 = 30_000;

/// Subscribes to `topics` over its own connection and calls `receive` for each message. Spawn the future; it
/// ends with `stopping`.
pub fn subscribe(
    broker: Broker,
    topics: watch::Receiver<BTreeSet<Topic>>,
    receive: impl Fn(Received) + Send + Sync + 'static,
    stopping: CancellationToken,
) -> (BrokerHealth, impl Future<Output = ()> + Send + 'static) {
    let health = BrokerHealth::default();
    let supervised = health.clone();
    let receive = Arc::new(receive);
    let subscribing = async move {
        let topology = broker.topology.clone();
        let session = |connection: Arc<Connection>| {
            let (topology, topics, receive) = (topology.clone(), topics.clone(), Arc::clone(&receive));
            let stopping = stopping.clone();
            async move {
                let subscriber = Subscriber::start(&connection, topology).await?;
                tokio::select! {
                    ended = subscriber.run(topics, &*receive) => ended,
                    () = stopping.cancelled() => Ok(()),
                }
            }
        };
        broker.supervise("subscriber", supervised, stopping.clone(), session).await;
    };
    (health, subscribing)
}

struct Subscriber {
    channel: Channel,
    consumer: Consumer,
    queue: String,
    topology: Topology,
    bound: BTreeSet<Topic>,
}

impl Subscriber {
    async fn start(connection: &Connection, topology: Topology) -> Result<Self, QueueError> {
        let channel = answered("open a channel", connection.create_channel()).await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_QUEUED));
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongInt(MAX_QUEUED_BYTES));
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(TTL));
        let declaring = channel.queue_declare("".into(), options, arguments);
        let queue = answered("declare a queue", declaring).await?.name().to_string();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consuming =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let consumer = answered("consume", consuming).await?;
        Ok(Self { channel, consumer, queue, topology, bound: BTreeSet::new() })
    }

    /// Runs until the connection fails. When the sender of `topics` is dropped, the topics stay as they are.
    async fn run(
        mut self,
        mut topics: watch::Receiver<BTreeSet<Topic>>,
        receive: &impl Fn(Received),
    ) -> Result<(), QueueError> {
        let mut rebind = tokio::time::interval_at(Instant::now() + REBIND_INTERVAL, REBIND_INTERVAL);
        rebind.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wanted = topics.borrow_and_update().clone();
            for topic in wanted.difference(&self.bound) {
                self.bind(*topic).await?;
                receive(Received::Subscribed(*topic));
            }
            for topic in self.bound.difference(&wanted) {
                self.unbind(*topic).await?;
            }
            self.bound = wanted;
            loop {
                tokio::select! {
                    Ok(()) = topics.changed() => break,
                    _ = rebind.tick() => self.rebind_all(receive).await?,
                    message = self.consumer.next() => {
                        let message = message.ok_or_else(|| QueueError::ConsumerEnded(self.queue.clone()))??;
                        if let Some(exchange) = self.exchange(&message) {
                            Received::decode(exchange, &message.data).into_iter().for_each(receive);
                        }
                    }
                }
            }
        }
    }

    fn exchange(&self, message: &Delivery) -> Option<Exchange> {
        let name = message.exchange.as_str();
        Exchange::ALL.into_iter().find(|exchange| self.topology.exchange(*exchange) == name)
    }

    async fn rebind_all(&self, receive: &impl Fn(Received)) -> Result<(), QueueError> {
        for topic in &self.bound {
            self.bind(*topic).await?;
            receive(Received::Resubscribed(*topic));
        }
        Ok(())
    }

    async fn bind(&self, topic: Topic) -> Result<(), QueueError> {
        let (exchange, key) = (self.topology.exchange(topic.exchange()), topic.routing_key());
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let binding = self.channel.queue_bind(
            self.queue.as_str().into(),
            exchange.into(),
            key.into(),
            options,
            arguments,
        );
        answered("bind a queue", binding).await
    }

    async fn unbind(&self, topic: Topic) -> Result<(), QueueError> {
        let (exchange, key) = (self.topology.exchange(topic.exchange()), topic.routing_key());
        let unbinding = self.channel.queue_unbind(
            self.queue.as_str().into(),
            exchange.into(),
            key.into(),
            FieldTable::default(),
        );
        answered("unbind a queue", unbinding).await
    }
}
