//! Permit → consume → claim → ack. A slot first reserves one of the process's permits and only then asks for a
//! message, so no message ever waits for anything but a database call or two. Without a permit, or while the database
//! is down, the slot cancels its consumer *before* it lets go of the message in hand: otherwise the broker would
//! push the next one to a process that cannot serve it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::handler::time_to_look;
use super::{Broker, BrokerHealth, Handler, Nudge, QueueError, Work, answered};
use crate::db::{Db, DbError};
use crate::lifecycle::Lifecycle;

/// Slots side by side: claims per second, not work in parallel, is what they bound.
const SLOTS: usize = 4;
const DATABASE_POLL: Duration = Duration::from_millis(500);

/// Starts consuming `work`, over a connection of its own, until the lifecycle stops.
pub fn consume(
    broker: Broker,
    work: Work,
    db: Db,
    permits: Arc<Semaphore>,
    handler: Arc<impl Handler>,
    lifecycle: &Lifecycle,
) -> BrokerHealth {
    let health = BrokerHealth::default();
    let (supervised, spawner) = (health.clone(), lifecycle.clone());
    lifecycle.spawn(async move {
        let queue = broker.topology.queue(work);
        let session = |connection: Arc<lapin::Connection>| {
            let slots = (0..SLOTS).map(|_| Slot {
                connection: Arc::clone(&connection),
                queue: queue.clone(),
                db: db.clone(),
                permits: Arc::clone(&permits),
                handler: Arc::clone(&handler),
                lifecycle: spawner.clone(),
                next_look: Instant::now(),
                news: handler.news(),
            });
            let running: Vec<_> = slots.map(Slot::run).collect();
            async move { try_join_all(running).await.map(|_| ()) }
        };
        broker.supervise("consumer", supervised, spawner.stopping().clone(), session).await;
    });
    health
}

struct Slot<H> {
    connection: Arc<lapin::Connection>,
    queue: String,
    db: Db,
    permits: Arc<Semaphore>,
    handler: Arc<H>,
    lifecycle: Lifecycle,
    next_look: Instant,
    news: Option<watch::Receiver<u64>>,
}

/// Why a slot let its consumer go.
enum Paused {
    NoPermit,
    DatabaseDown,
    Stopping,
}

impl<H: Handler> Slot<H> {
    async fn run(mut self) -> Result<(), QueueError> {
        let channel = answered("opening a channel", self.connection.create_channel()).await?;
        answered("setting the prefetch", channel.basic_qos(1, BasicQosOptions::default())).await?;
        loop {
            let waiting = Arc::clone(&self.permits).acquire_owned();
            let permit = tokio::select! {
                permit = waiting => match permit { Ok(permit) => permit, Err(_) => return Ok(()) },
                () = self.lifecycle.stopping().cancelled() => return Ok(()),
            };
            match self.consume_while_permitted(&channel, permit).await? {
                Paused::NoPermit => {}
                Paused::Stopping => return Ok(()),
                Paused::DatabaseDown => self.wait_for_database().await,
            }
        }
    }

    async fn consume_while_permitted(
        &mut self,
        channel: &Channel,
        mut permit: OwnedSemaphorePermit,
    ) -> Result<Paused, QueueError> {
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(self.queue.as_str().into(), "".into(), options, arguments);
        let mut consumer = answered("consuming", consuming).await?;
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.lifecycle.stopping().cancelled() => {
                    cancel(channel, &consumer).await?;
                    put_back(&mut consumer).await?;
                    return Ok(Paused::Stopping);
                }
                // Before the next message: with a full queue there is always one, and what was abandoned came first.
                () = time_to_look(self.handler.look_interval().map(|_| self.next_look), &mut self.news) => {
                    let Some(next) = self.look(permit).await? else {
                        cancel(channel, &consumer).await?;
                        put_back(&mut consumer).await?;
                        return Ok(Paused::NoPermit);
                    };
                    permit = next;
                    continue;
                }
                delivery = consumer.next() => delivery,
            };
            let Some(delivery) = delivery else {
                return Err(QueueError::ConsumerEnded(self.queue.clone()));
            };
            let delivery = delivery?;
            let Ok(nudge) = Nudge::decode(&delivery.data) else {
                self.reject(&delivery).await?;
                continue;
            };
            match self.serve(nudge.id, permit).await? {
                Ok(unused) => {
                    if let Some(next) = self.next_permit(unused) {
                        ack(&delivery).await?;
                        permit = next;
                    } else {
                        cancel(channel, &consumer).await?;
                        ack(&delivery).await?;
                        return Ok(Paused::NoPermit);
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = self.queue, %error, "a nudge goes back: the database does not take it");
                    cancel(channel, &consumer).await?;
                    nack(&delivery).await?;
                    return Ok(Paused::DatabaseDown);
                }
            }
        }
    }

    /// A nudge that PostgreSQL refuses, or whose rows somebody keeps locked, is done with: brought back, it would only
    /// keep the others waiting. The sweeper tries again.
    async fn serve(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Result<Option<OwnedSemaphorePermit>, DbError>, QueueError> {
        match self.handle(id, permit).await? {
            Err(error) if !error.is_away() => {
                metrics::counter!("capi_nudges_refused_total").increment(1);
                tracing::error!(queue = self.queue, %error, "a nudge could not be served");
                if error.is_outage() {
                    // No disk, no memory: the next one will fare no better.
                    tokio::time::sleep(DATABASE_POLL).await;
                }
                Ok(Ok(None))
            }
            served => Ok(served),
        }
    }

    /// In a task of its own: a connection that breaks ends this slot, and must not end a claim between its commit
    /// and the start of the work.
    async fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Result<Option<OwnedSemaphorePermit>, DbError>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let handling = self.lifecycle.spawn(async move { handler.handle(id, permit).await });
        handling.await.map_err(|_| QueueError::HandlerFailed(self.queue.clone()))
    }

    /// In a task of its own, for the same reason.
    async fn look(
        &mut self,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let looking = self.lifecycle.spawn(async move { handler.look(permit).await });
        let unused = looking.await.map_err(|_| QueueError::HandlerFailed(self.queue.clone()))?;
        self.next_look = Instant::now() + self.handler.look_interval().unwrap_or_default();
        Ok(self.next_permit(unused))
    }

    fn next_permit(&self, unused: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        unused.or_else(|| Arc::clone(&self.permits).try_acquire_owned().ok())
    }

    async fn reject(&self, delivery: &Delivery) -> Result<(), QueueError> {
        metrics::counter!("capi_messages_undecodable_total").increment(1);
        tracing::warn!(
            queue = self.queue,
            bytes = delivery.data.len(),
            "undecodable message is dead-lettered"
        );
        delivery.reject(BasicRejectOptions { requeue: false }).await?;
        Ok(())
    }

    async fn wait_for_database(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(DATABASE_POLL) => if self.db.is_up().await { return },
                () = self.lifecycle.stopping().cancelled() => return,
            }
        }
    }
}

async fn ack(delivery: &Delivery) -> Result<(), QueueError> {
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}

async fn nack(delivery: &Delivery) -> Result<(), QueueError> {
    delivery.nack(BasicNackOptions { requeue: true, ..Default::default() }).await?;
    Ok(())
}

/// What was pushed before a consumer was cancelled goes back to the queue; a cancelled one ends after that.
async fn put_back(consumer: &mut Consumer) -> Result<(), QueueError> {
    while let Some(delivery) = consumer.next().await {
        nack(&delivery?).await?;
    }
    Ok(())
}

async fn cancel(channel: &Channel, consumer: &Consumer) -> Result<(), QueueError> {
    let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    answered("cancelling a consumer", cancelling).await
}
