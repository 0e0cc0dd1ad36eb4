//! The consumer of a work queue, on a real broker, with a handler that records its calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use shared::config::BrokerConfig;
use shared::db::DbError;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broker, Handled, Handler, Nudge, Publisher, WorkQueue, consume};
use shared::testing::{TestDatabase, TestQueues, eventually};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

struct Recording {
    calls: Mutex<Vec<Vec<Nudge>>>,
    /// Calls wait until it is closed.
    open: Semaphore,
    /// So many polls take the permit for a while, as takeovers do.
    busy_polls: AtomicUsize,
}

impl Handler for Recording {
    async fn handle(&self, nudges: Vec<Nudge>, permits: OwnedSemaphorePermit) -> Result<Handled, DbError> {
        self.calls.lock().unwrap().push(nudges);
        let _ = self.open.acquire().await;
        Ok(Handled { unused: Some(permits), again: Vec::new() })
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    async fn poll(&self, permits: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.busy_polls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Some(permits);
        }
        // Longer than the consumer waits for a permit.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(40)).await;
            drop(permits);
        });
        None
    }
}

struct Fixture {
    handler: Arc<Recording>,
    queues: TestQueues,
    database: TestDatabase,
    broker: Broker,
    publisher: Publisher,
    lifecycle: Lifecycle,
}

impl Fixture {
    /// Declares the queues.
    async fn create(busy_polls: usize) -> Self {
        let (queues, lifecycle) = (TestQueues::create(), Lifecycle::default());
        let url = SecretString::from(queues.url.clone());
        let config = BrokerConfig { url, queue_prefix: queues.prefix.clone() };
        let broker = Broker::new(&config, "capi-test").unwrap();
        let publisher = Publisher::start(broker.clone(), &lifecycle);
        eventually("the publisher is connected", async || publisher.health().is_up().then_some(())).await;
        let handler = Recording {
            calls: Mutex::default(),
            open: Semaphore::new(0),
            busy_polls: AtomicUsize::new(busy_polls),
        };
        let database = TestDatabase::create().await;
        Self { handler: Arc::new(handler), queues, database, broker, publisher, lifecycle }
    }

    fn consume(&self, permits: usize) {
        let permits = Arc::new(Semaphore::new(permits));
        let (db, handler) = (self.database.db.clone(), Arc::clone(&self.handler));
        let (broker, publisher) = (self.broker.clone(), self.publisher.clone());
        let _health = consume(broker, WorkQueue::Runs, db, permits, handler, publisher, &self.lifecycle);
    }

    async fn ready(&self, count: u32) {
        eventually("the queue has so many messages", async || {
            (self.queues.ready(WorkQueue::Runs).await == count).then_some(())
        })
        .await;
    }

    fn calls(&self) -> Vec<Vec<Nudge>> {
        self.handler.calls.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_arrive_during_a_call_are_one_call() {
    let fixture = Fixture::create(0).await;
    fixture.consume(8);
    let [first, second] = [Uuid::now_v7(), Uuid::now_v7()];
    fixture.publisher.nudge(WorkQueue::Runs, first);
    eventually("the first nudge is handled", async || (fixture.calls().len() == 1).then_some(())).await;
    let message = Nudge::new(second).encode();
    fixture.queues.publish_all(WorkQueue::Runs, &[message.as_slice(); 30]).await;
    fixture.ready(0).await;
    fixture.handler.open.close();
    eventually("the others are handled", async || (fixture.calls().len() == 2).then_some(())).await;
    assert!(fixture.lifecycle.stop().await);
    assert_eq!(fixture.calls(), [vec![Nudge::new(first)], vec![Nudge::times(second, 30)]]);
    fixture.ready(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_that_waits_for_a_permit_again_and_again_is_no_dead_letter() {
    /// RabbitMQ delivers a returned message 20 times, and then it is a dead letter.
    const WAITS: usize = 30;
    let fixture = Fixture::create(WAITS).await;
    fixture.handler.open.close();
    let ids: [_; 10] = std::array::from_fn(|_| Uuid::now_v7());
    for id in ids {
        fixture.publisher.nudge(WorkQueue::Runs, id);
    }
    fixture.ready(10).await;
    fixture.consume(1);
    eventually("all nudges are handled", async || {
        let handled = fixture.calls().concat();
        ids.iter().all(|id| handled.iter().any(|nudge| nudge.id == *id)).then_some(())
    })
    .await;
    assert_eq!(fixture.handler.busy_polls.load(Ordering::Relaxed), 0, "the nudges waited");
    assert!(fixture.lifecycle.stop().await);
}
