//! Permit → consume → claim → ack. A slot reserves one of the process's permits before it asks for a message,
//! so a message waits only for database calls. When a slot has no permit, or the database is down, it cancels
//! its consumer *before* it acknowledges or returns its message. Otherwise the broker would push the next
//! message to a process that cannot handle it.

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

use super::handler::poll_due;
use super::{Broker, BrokerHealth, Handler, Nudge, QueueError, WorkQueue, answered};
use crate::db::{Db, DbError};
use crate::lifecycle::Lifecycle;

/// Slots bound the claims per second. They do not bound the work in parallel: permits do.
const SLOTS: usize = 4;
const DATABASE_POLL: Duration = Duration::from_millis(500);

/// Starts consuming `queue` over a separate connection, until the lifecycle stops.
pub fn consume(
    broker: Broker,
    queue: WorkQueue,
    db: Db,
    permits: Arc<Semaphore>,
    handler: Arc<impl Handler>,
    lifecycle: &Lifecycle,
) -> BrokerHealth {
    let health = BrokerHealth::default();
    let (supervised, spawner) = (health.clone(), lifecycle.clone());
    lifecycle.spawn(async move {
        let queue = broker.topology.queue(queue);
        let session = |connection: Arc<lapin::Connection>| {
            let slots = (0..SLOTS).map(|_| Slot {
                connection: Arc::clone(&connection),
                queue: queue.clone(),
                db: db.clone(),
                permits: Arc::clone(&permits),
                handler: Arc::clone(&handler),
                lifecycle: spawner.clone(),
                next_poll: Instant::now(),
                poll_requests: handler.poll_requests(),
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
    next_poll: Instant,
    poll_requests: Option<watch::Receiver<u64>>,
}

/// Why a slot cancelled its consumer.
enum Paused {
    NoPermit,
    DatabaseDown,
    Stopping,
}

impl<H: Handler> Slot<H> {
    async fn run(mut self) -> Result<(), QueueError> {
        let channel = answered("open a channel", self.connection.create_channel()).await?;
        answered("set the prefetch", channel.basic_qos(1, BasicQosOptions::default())).await?;
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
        let mut consumer = answered("consume", consuming).await?;
        loop {
            let next_poll = self.handler.poll_interval().map(|_| self.next_poll);
            let delivery = tokio::select! {
                biased;
                () = self.lifecycle.stopping().cancelled() => {
                    cancel(channel, &consumer).await?;
                    requeue_pushed(&mut consumer).await?;
                    return Ok(Paused::Stopping);
                }
                // Poll before the next message: a full queue always has one, and abandoned work is older.
                () = poll_due(next_poll, &mut self.poll_requests) => {
                    let Some(next) = self.poll(permit).await? else {
                        cancel(channel, &consumer).await?;
                        requeue_pushed(&mut consumer).await?;
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
            match self.handle_nudge(nudge.id, permit).await? {
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
                    tracing::warn!(
                        queue = self.queue, id = %nudge.id, %error,
                        "failed to handle a nudge: the database is down; the nudge is requeued"
                    );
                    cancel(channel, &consumer).await?;
                    nack(&delivery).await?;
                    return Ok(Paused::DatabaseDown);
                }
            }
        }
    }

    /// The slot acknowledges a nudge that PostgreSQL rejects or whose rows stay locked. A requeued one would
    /// only delay the others, and the sweeper tries again.
    async fn handle_nudge(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Result<Option<OwnedSemaphorePermit>, DbError>, QueueError> {
        match self.handle(id, permit).await? {
            Err(error) if !error.is_away() => {
                metrics::counter!("capi_nudges_failed_total").increment(1);
                tracing::error!(queue = self.queue, %id, %error, "failed to handle a nudge");
                if error.is_outage() {
                    // The database has no disk or memory left: the next nudge would fail too.
                    tokio::time::sleep(DATABASE_POLL).await;
                }
                Ok(Ok(None))
            }
            handled => Ok(handled),
        }
    }

    /// Spawns a task: a broken connection ends this slot, and must not stop a claim between its commit and
    /// the start of the work.
    async fn handle(
        &self,
        id: Uuid,
        permit: OwnedSemaphorePermit,
    ) -> Result<Result<Option<OwnedSemaphorePermit>, DbError>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let handling = self.lifecycle.spawn(async move { handler.handle(id, permit).await });
        handling.await.map_err(|_| QueueError::HandlerFailed(self.queue.clone()))
    }

    /// Spawns a task for the same reason as [`Self::handle`].
    async fn poll(
        &mut self,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<OwnedSemaphorePermit>, QueueError> {
        let handler = Arc::clone(&self.handler);
        let polling = self.lifecycle.spawn(async move { handler.poll(permit).await });
        let unused = polling.await.map_err(|_| QueueError::HandlerFailed(self.queue.clone()))?;
        self.next_poll = Instant::now() + self.handler.poll_interval().unwrap_or_default();
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
            "failed to decode a message; it is dead-lettered"
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

/// Requeues the messages that the broker pushed before the consumer was cancelled. The stream ends after
/// them.
async fn requeue_pushed(consumer: &mut Consumer) -> Result<(), QueueError> {
    while let Some(delivery) = consumer.next().await {
        nack(&delivery?).await?;
    }
    Ok(())
}

async fn cancel(channel: &Channel, consumer: &Consumer) -> Result<(), QueueError> {
    let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    answered("cancel a consumer", cancelling).await
}
