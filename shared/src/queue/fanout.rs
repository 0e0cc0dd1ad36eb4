//! Fan-outs: "something happened to this run", told to every process that watches it. Each process has a queue of its
//! own that ends with its connection, and binds only the buckets of runs that it watches. Nothing is lost that matters: whoever
//! watches reads the database after every bind, and now and then anyway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Broker, BrokerHealth, Nudge, QueueError};
use crate::ids::RunId;
use crate::lifecycle::Lifecycle;

/// Parts into which runs are divided by their ids.
const BUCKETS: u8 = 64;
/// Messages that a slow process leaves in its queue; the oldest go first.
const MAX_WAITING: i32 = 10_000;
/// How often what is bound is bound again: a binding that somebody deleted says nothing, and a missing exchange ends the session,
/// so that it is declared anew.
const BIND_AGAIN: Duration = Duration::from_secs(10);
/// Milliseconds after which what is told is old.
const TTL: i32 = 30_000;

/// A part of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// The part that the run belongs to; the end of a UUIDv7 is random.
    #[must_use]
    pub const fn of(run: RunId) -> Self {
        Self(run.uuid().as_bytes()[15] % BUCKETS)
    }

    /// As a routing key.
    #[must_use]
    pub fn routing_key(self) -> String {
        self.0.to_string()
    }
}

/// What a process hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something happened to this run.
    Run(RunId),
    /// From now on these runs are heard of; what happened before may have been missed.
    Listening(Bucket),
}

/// Listens, over a connection of its own, to what `wanted` holds, until the lifecycle stops.
pub fn listen(
    broker: Broker,
    wanted: watch::Receiver<BTreeSet<Bucket>>,
    heard: impl Fn(Heard) + Send + Sync + 'static,
    lifecycle: &Lifecycle,
) -> BrokerHealth {
    let health = BrokerHealth::default();
    let (supervised, stopping) = (health.clone(), lifecycle.stopping().clone());
    let heard = Arc::new(heard);
    lifecycle.spawn(async move {
        let exchange = broker.topology.events_exchange();
        let session = |connection: Arc<Connection>| {
            let (exchange, wanted, heard) = (exchange.clone(), wanted.clone(), Arc::clone(&heard));
            let stopping = stopping.clone();
            async move {
                let listener = Listener::start(&connection, exchange).await?;
                tokio::select! {
                    ended = listener.run(wanted, &*heard) => ended,
                    () = stopping.cancelled() => Ok(()),
                }
            }
        };
        broker.supervise("listener", supervised, stopping.clone(), session).await;
    });
    health
}

struct Listener {
    channel: Channel,
    consumer: Consumer,
    queue: String,
    exchange: String,
    bound: BTreeSet<Bucket>,
}

impl Listener {
    async fn start(connection: &Connection, exchange: String) -> Result<Self, QueueError> {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_WAITING));
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(TTL));
        let queue = channel.queue_declare("".into(), options, arguments).await?.name().to_string();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
        Ok(Self { channel, consumer, queue, exchange, bound: BTreeSet::new() })
    }

    /// Until the connection fails, or nobody is left who could want something.
    async fn run(
        mut self,
        mut wanted: watch::Receiver<BTreeSet<Bucket>>,
        heard: &impl Fn(Heard),
    ) -> Result<(), QueueError> {
        let mut bind_again = tokio::time::interval_at(Instant::now() + BIND_AGAIN, BIND_AGAIN);
        bind_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = wanted.borrow_and_update().clone();
            for bucket in now.difference(&self.bound) {
                self.bind(*bucket).await?;
                heard(Heard::Listening(*bucket));
            }
            for bucket in self.bound.difference(&now) {
                self.unbind(*bucket).await?;
            }
            self.bound = now;
            loop {
                tokio::select! {
                    changed = wanted.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    _ = bind_again.tick() => self.bind_all_again().await?,
                    told = self.consumer.next() => {
                        let told = told.ok_or_else(|| QueueError::ConsumerEnded(self.queue.clone()))??;
                        if let Ok(nudge) = Nudge::decode(&told.data) {
                            heard(Heard::Run(nudge.id.into()));
                        }
                    }
                }
            }
        }
    }

    async fn bind_all_again(&self) -> Result<(), QueueError> {
        for bucket in &self.bound {
            self.bind(*bucket).await?;
        }
        Ok(())
    }

    async fn bind(&self, bucket: Bucket) -> Result<(), QueueError> {
        let (queue, exchange, key) = (self.queue.as_str(), self.exchange.as_str(), bucket.routing_key());
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(queue.into(), exchange.into(), key.as_str().into(), options, FieldTable::default())
            .await?;
        Ok(())
    }

    async fn unbind(&self, bucket: Bucket) -> Result<(), QueueError> {
        let (queue, exchange, key) = (self.queue.as_str(), self.exchange.as_str(), bucket.routing_key());
        self.channel
            .queue_unbind(queue.into(), exchange.into(), key.as_str().into(), FieldTable::default())
            .await?;
        Ok(())
    }
}
