//! Listening to news. Each process has a queue of its own that ends with its connection, and binds only the topics that it
//! wants. Nothing is lost that matters: whoever listens reads the database after every bind, and now and then anyway.

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

use super::{Broker, BrokerHealth, Exchange, Heard, News, Nudge, QueueError, Topic, Topology, answered};

/// Messages that wait in the queue of a process that does not read its connection; the oldest go first. What it reads is
/// passed on at once: whoever hears must not block.
const MAX_WAITING: i32 = 10_000;
/// How often what is bound is bound again: a binding that somebody deleted says nothing, and a missing exchange ends the session,
/// so that it is declared anew.
const BIND_AGAIN: Duration = Duration::from_secs(10);
/// Milliseconds after which what is told is old.
const TTL: i32 = 30_000;

/// Listens, over a connection of its own, to what `wanted` holds. The future is to be spawned; it ends with `stopping`.
pub fn listen(
    broker: Broker,
    wanted: watch::Receiver<BTreeSet<Topic>>,
    heard: impl Fn(Heard) + Send + Sync + 'static,
    stopping: CancellationToken,
) -> (BrokerHealth, impl Future<Output = ()> + Send + 'static) {
    let health = BrokerHealth::default();
    let supervised = health.clone();
    let heard = Arc::new(heard);
    let listening = async move {
        let topology = broker.topology.clone();
        let session = |connection: Arc<Connection>| {
            let (topology, wanted, heard) = (topology.clone(), wanted.clone(), Arc::clone(&heard));
            let stopping = stopping.clone();
            async move {
                let listener = Listener::start(&connection, topology).await?;
                tokio::select! {
                    ended = listener.run(wanted, &*heard) => ended,
                    () = stopping.cancelled() => Ok(()),
                }
            }
        };
        broker.supervise("listener", supervised, stopping.clone(), session).await;
    };
    (health, listening)
}

struct Listener {
    channel: Channel,
    consumer: Consumer,
    queue: String,
    topology: Topology,
    bound: BTreeSet<Topic>,
}

impl Listener {
    async fn start(connection: &Connection, topology: Topology) -> Result<Self, QueueError> {
        let channel = answered("opening a channel", connection.create_channel()).await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_WAITING));
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(TTL));
        let declaring = channel.queue_declare("".into(), options, arguments);
        let queue = answered("declaring a queue", declaring).await?.name().to_string();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consuming =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let consumer = answered("consuming", consuming).await?;
        Ok(Self { channel, consumer, queue, topology, bound: BTreeSet::new() })
    }

    /// Until the connection fails. What is wanted stays as it is once nobody is left who could change it.
    async fn run(
        mut self,
        mut wanted: watch::Receiver<BTreeSet<Topic>>,
        heard: &impl Fn(Heard),
    ) -> Result<(), QueueError> {
        let mut bind_again = tokio::time::interval_at(Instant::now() + BIND_AGAIN, BIND_AGAIN);
        bind_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = wanted.borrow_and_update().clone();
            for topic in now.difference(&self.bound) {
                self.bind(*topic).await?;
                heard(Heard::Listening(*topic));
            }
            for topic in self.bound.difference(&now) {
                self.unbind(*topic).await?;
            }
            self.bound = now;
            loop {
                tokio::select! {
                    Ok(()) = wanted.changed() => break,
                    _ = bind_again.tick() => self.bind_all_again(heard).await?,
                    told = self.consumer.next() => {
                        let told = told.ok_or_else(|| QueueError::ConsumerEnded(self.queue.clone()))??;
                        if let (Ok(nudge), Some(exchange)) = (Nudge::decode(&told.data), self.exchange(&told)) {
                            heard(Heard::News(News::of(exchange, nudge.id)));
                        }
                    }
                }
            }
        }
    }

    fn exchange(&self, told: &Delivery) -> Option<Exchange> {
        let name = told.exchange.as_str();
        Exchange::ALL.into_iter().find(|exchange| self.topology.exchange(*exchange) == name)
    }

    async fn bind_all_again(&self, heard: &impl Fn(Heard)) -> Result<(), QueueError> {
        for topic in &self.bound {
            self.bind(*topic).await?;
            heard(Heard::BoundAgain(*topic));
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
        answered("binding a queue", binding).await
    }

    async fn unbind(&self, topic: Topic) -> Result<(), QueueError> {
        let (exchange, key) = (self.topology.exchange(topic.exchange()), topic.routing_key());
        let unbinding = self.channel.queue_unbind(
            self.queue.as_str().into(),
            exchange.into(),
            key.into(),
            FieldTable::default(),
        );
        answered("unbinding a queue", unbinding).await
    }
}
