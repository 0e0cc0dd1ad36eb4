//! Permit → consume → claim → ack. A process has one consumer for each queue. It reserves one of the
//! process's permits before it asks for messages, and takes the free ones when messages arrive, so a message
//! waits only for database calls. One call handles all messages that are here; those that arrive meanwhile
//! are the next batch.
//!
//! Without a permit, or while the database is down, it cancels the consumer *before* it acknowledges or
//! returns its messages. Otherwise the broker would push the next ones to a process that cannot handle them.

use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::calls::{Calls, Left};
use super::coalesce::Coalesced;
use super::handler::poll_due;
use super::incoming::{Incoming, PREFETCH, Pushed};
use super::{Broker, BrokerHealth, Handled, Handler, Nudge, Publisher, QueueError, WorkQueue, answered};
use crate::db::Db;
use crate::lifecycle::Lifecycle;

/// Permits of one call.
const MAX_PERMITS: usize = 64;
/// A call has at most as many ids as permits, but so many in any case: ids without work cost little then.
/// More ids would be nudged again and again while few permits are free.
const FEWEST_IDS: usize = 4;
/// Messages that are pushed ahead for each free permit: many may be for the same id.
const PUSHED_PER_PERMIT: usize = 8;
const FEWEST_PUSHED: usize = 16;
/// How long a consumer without a permit waits for one before it returns its messages to the queue. A busy
/// process frees permits faster than this, and a cancelled consumer costs the broker four writes.
const HOLD: Duration = Duration::from_millis(20);
/// Before nudges go back to the queue after a call that started nothing: what they wait for, another
/// transaction has locked. Without a pause they would come back at once.
const LOCKED_PAUSE: Duration = Duration::from_millis(100);
/// Between pings of a database that is down.
const DATABASE_POLL: Duration = Duration::from_millis(500);

/// Starts consuming `queue` over a separate connection, until the lifecycle stops. `publisher` returns nudges
/// to the queue.
pub fn consume(
    broker: Broker,
    queue: WorkQueue,
    db: Db,
    permits: Arc<Semaphore>,
    handler: Arc<impl Handler>,
    publisher: Publisher,
    lifecycle: &Lifecycle,
) -> BrokerHealth {
    let health = BrokerHealth::default();
    let (supervised, spawner) = (health.clone(), lifecycle.clone());
    lifecycle.spawn(async move {
        let start = |connection: Arc<lapin::Connection>| {
            let session = Session {
                queue,
                name: broker.topology.queue(queue),
                db: db.clone(),
                permits: Arc::clone(&permits),
                calls: Calls::new(queue, Arc::clone(&handler), Arc::clone(&permits), spawner.clone()),
                publisher: publisher.clone(),
                lifecycle: spawner.clone(),
                next_poll: Instant::now(),
                poll_requests: handler.poll_requests(),
            };
            session.run(connection)
        };
        broker.supervise("consumer", supervised, spawner.stopping().clone(), start).await;
    });
    health
}

struct Session<H> {
    queue: WorkQueue,
    /// The queue's name at the broker.
    name: String,
    db: Db,
    permits: Arc<Semaphore>,
    calls: Calls<H>,
    publisher: Publisher,
    lifecycle: Lifecycle,
    next_poll: Instant,
    poll_requests: Option<watch::Receiver<u64>>,
}

/// Why a session cancelled its consumer.
enum Paused {
    NoPermit,
    DatabaseDown,
    Stopping,
}

impl<H: Handler> Session<H> {
    async fn run(mut self, connection: Arc<lapin::Connection>) -> Result<(), QueueError> {
        let channel = answered("open a channel", connection.create_channel()).await?;
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
        let prefetch = prefetch(self.permits.available_permits() + 1);
        let mut incoming = Incoming::start(channel, &self.name, prefetch).await?;
        loop {
            let next_poll = self.calls.poll_interval().map(|_| self.next_poll);
            let first = tokio::select! {
                biased;
                () = self.lifecycle.stopping().cancelled() => {
                    self.requeue(incoming.cancel().await?).await?;
                    return Ok(Paused::Stopping);
                }
                // Poll before the next message: a full queue always has one, and abandoned work is older.
                () = poll_due(next_poll, &mut self.poll_requests) => {
                    let unused = self.calls.poll(permit).await?;
                    self.next_poll = Instant::now() + self.calls.poll_interval().unwrap_or_default();
                    let Some(next) = self.next_permit(unused).await else {
                        self.put_back(incoming.cancel().await?, Vec::new()).await?;
                        return Ok(Paused::NoPermit);
                    };
                    permit = next;
                    continue;
                }
                first = incoming.next() => first?,
            };
            let permits = self.with_free(permit);
            let mut batch = incoming.batch(first, permits.num_permits().max(FEWEST_IDS))?;
            self.settle_unread(&mut batch).await?;
            match self.calls.handle_all(batch.take_nudges(), permits).await? {
                Ok(Left { handled: Handled { unused, again }, started }) => {
                    let Some(next) = self.next_permit(unused).await else {
                        let pushed = incoming.cancel().await?;
                        batch.ack().await?;
                        self.put_back(pushed, again).await?;
                        return Ok(Paused::NoPermit);
                    };
                    if started {
                        self.nudge_again(again);
                    } else {
                        self.nudge_later(again);
                    }
                    batch.ack().await?;
                    permit = next;
                }
                Err(error) => {
                    tracing::warn!(
                        queue = self.name, %error,
                        "failed to handle nudges: the database is down; they are requeued"
                    );
                    let pushed = incoming.cancel().await?;
                    batch.nack().await?;
                    self.requeue(pushed).await?;
                    return Ok(Paused::DatabaseDown);
                }
            }
        }
    }

    /// Adds the free permits.
    fn with_free(&self, mut permit: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
        let free = self.permits.available_permits().min(MAX_PERMITS - 1);
        // If another task takes one of them meanwhile, the call has one permit.
        let more = Arc::clone(&self.permits).try_acquire_many_owned(u32::try_from(free).unwrap_or(0));
        if let Ok(more) = more {
            permit.merge(more);
        }
        permit
    }

    /// Keeps one of the unused permits and releases the others. If there is none, waits for one, for at most
    /// [`HOLD`].
    async fn next_permit(&self, unused: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        if let Some(kept) = unused.and_then(|mut unused| unused.split(1)) {
            return Some(kept);
        }
        let waiting = tokio::time::timeout(HOLD, Arc::clone(&self.permits).acquire_owned());
        tokio::select! {
            permit = waiting => permit.ok()?.ok(),
            () = self.lifecycle.stopping().cancelled() => None,
        }
    }

    /// Sends pushed nudges and those without a permit to the queue again, and acknowledges the pushed ones.
    /// Returned ones would count as delivered, and the broker dead-letters a message that it delivered too
    /// often. A lack of permits is no failure of the nudge.
    async fn put_back(&self, mut pushed: Pushed, again: Vec<Nudge>) -> Result<(), QueueError> {
        self.settle_unread(&mut pushed).await?;
        if self.publisher.health().is_up() {
            let mut nudges = Coalesced::default();
            for nudge in again.into_iter().chain(pushed.take_nudges()) {
                nudges.add(nudge);
            }
            if self.nudge_again(nudges.into_nudges()) {
                return pushed.ack().await;
            }
        } else {
            self.nudge_again(again);
        }
        pushed.nack().await
    }

    /// Returns false if one is lost because the publisher's buffer is full.
    fn nudge_again(&self, nudges: Vec<Nudge>) -> bool {
        put_back_all(&self.publisher, self.queue, nudges)
    }

    /// The same after [`LOCKED_PAUSE`]. The sweeper finds the work if the process dies meanwhile.
    fn nudge_later(&self, nudges: Vec<Nudge>) {
        if nudges.is_empty() {
            return;
        }
        let (publisher, queue) = (self.publisher.clone(), self.queue);
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            tokio::select! { () = tokio::time::sleep(LOCKED_PAUSE) => {}, () = stopping.cancelled() => {} }
            put_back_all(&publisher, queue, nudges);
        });
    }

    async fn requeue(&self, mut pushed: Pushed) -> Result<(), QueueError> {
        self.settle_unread(&mut pushed).await?;
        pushed.nack().await
    }

    async fn settle_unread(&self, pushed: &mut Pushed) -> Result<(), QueueError> {
        pushed.settle_unread(self.queue, &self.publisher, &self.lifecycle).await
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

/// Returns false if one is lost because the publisher's buffer is full.
fn put_back_all(publisher: &Publisher, queue: WorkQueue, nudges: Vec<Nudge>) -> bool {
    let (mut sent, all) = (0, nudges.len());
    for nudge in nudges {
        sent += usize::from(publisher.put_back(queue, nudge));
    }
    metrics::counter!("capi_nudges_put_back_total", "queue" => queue.as_str())
        .increment(u64::try_from(sent).unwrap_or(0));
    sent == all
}

/// Few while few permits are free: what is pushed and not handled goes back to the queue.
fn prefetch(free_permits: usize) -> u16 {
    let pushed = free_permits.saturating_mul(PUSHED_PER_PERMIT).max(FEWEST_PUSHED);
    u16::try_from(pushed).unwrap_or(PREFETCH).min(PREFETCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_messages_are_pushed_to_a_process_with_few_permits() {
        assert_eq!([1, 2, 3, 8, 1000].map(prefetch), [16, 16, 24, 64, PREFETCH]);
    }
}
