//! The queues of one test.

use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

use super::{block_on_elsewhere, eventually, required};
use crate::queue::{Exchange, Topic, Topology, WorkQueue};

/// Dropping it deletes the queues and exchanges.
pub struct TestQueues {
    /// amqp://…
    pub url: String,
    /// The value of CAPI_QUEUE_PREFIX.
    pub prefix: String,
}

impl TestQueues {
    /// A new prefix; the services declare the queues.
    #[must_use]
    pub fn create() -> Self {
        Self::create_at(required("CAPI_TEST_AMQP_URL"))
    }

    /// The same on the broker at this URL.
    #[must_use]
    pub fn create_at(url: String) -> Self {
        Self { url, prefix: format!("test-{}", Uuid::now_v7().simple()) }
    }
}

/// One more than RabbitMQ's deliveries of a message before it is a dead letter.
const DELIVERIES: usize = 21;

impl TestQueues {
    /// A channel beside those of the services.
    async fn by_hand(&self) -> (Topology, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await;
        let channel = connection.expect("the broker answers").create_channel().await;
        (Topology::new(&self.prefix), channel.expect("a channel can be opened"))
    }

    /// Deletes the queue of this kind of work.
    pub async fn delete(&self, work: WorkQueue) {
        let (topology, channel) = self.by_hand().await;
        let options = QueueDeleteOptions::default();
        channel.queue_delete(topology.queue(work).into(), options).await.expect("the queue can be deleted");
    }

    /// Deletes all messages of the queue.
    pub async fn purge(&self, work: WorkQueue) {
        let (topology, channel) = self.by_hand().await;
        let options = QueuePurgeOptions::default();
        channel.queue_purge(topology.queue(work).into(), options).await.expect("the queue can be purged");
    }

    /// The number of messages that no consumer has taken.
    pub async fn ready(&self, work: WorkQueue) -> u32 {
        let (topology, channel) = self.by_hand().await;
        let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
        let declared =
            channel.queue_declare(topology.queue(work).into(), options, FieldTable::default()).await;
        declared.expect("the queue is there").message_count()
    }

    /// Publishes a message to the queue.
    pub async fn publish(&self, work: WorkQueue, message: &[u8]) {
        self.publish_all(work, &[message]).await;
    }

    /// Publishes messages to the queue, in this order.
    pub async fn publish_all(&self, work: WorkQueue, messages: &[&[u8]]) {
        let (topology, channel) = self.by_hand().await;
        for message in messages {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let queue = topology.queue(work);
            let sent = channel.basic_publish("".into(), queue.into(), options, message, properties).await;
            sent.expect("the message is taken").await.expect("the message is stored");
        }
    }

    /// Takes the queue's only message and puts it back until it is a dead letter, like processes that it
    /// kills.
    pub async fn reject_until_dead(&self, work: WorkQueue) {
        let (topology, channel) = self.by_hand().await;
        for _ in 0..DELIVERIES {
            let taken = eventually("the message is there", async || {
                channel.basic_get(topology.queue(work).into(), BasicGetOptions::default()).await.ok()?
            })
            .await;
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            taken.delivery.nack(options).await.expect("it goes back");
        }
    }

    /// Deletes an exchange.
    pub async fn delete_exchange(&self, exchange: Exchange) {
        let (topology, channel) = self.by_hand().await;
        let deleted =
            channel.exchange_delete(topology.exchange(exchange).into(), ExchangeDeleteOptions::default());
        deleted.await.expect("the exchange can be deleted");
    }

    /// Whether a process is subscribed to the topic. Sends it a message that it ignores.
    pub async fn is_subscribed(&self, topic: Topic) -> bool {
        let (topology, channel) = self.by_hand().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms can be asked for");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (topology.exchange(topic.exchange()), topic.routing_key());
        let properties = BasicProperties::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, b"", properties).await;
        // Without a queue the message is returned; without the exchange the channel is closed.
        match sent {
            Ok(confirmed) => matches!(confirmed.await, Ok(Confirmation::Ack(None))),
            Err(_) => false,
        }
    }

    /// Whether the exchange exists.
    pub async fn has_exchange(&self, exchange: Exchange) -> bool {
        let (topology, channel) = self.by_hand().await;
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let name = topology.exchange(exchange);
        channel
            .exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default())
            .await
            .is_ok()
    }
}

impl Drop for TestQueues {
    fn drop(&mut self) {
        let (url, topology) = (self.url.clone(), Topology::new(&self.prefix));
        block_on_elsewhere(async move {
            let Ok(connection) = Connection::connect(&url, ConnectionProperties::default()).await else {
                return;
            };
            let Ok(channel) = connection.create_channel().await else {
                return;
            };
            for exchange in Exchange::ALL {
                let name = topology.exchange(exchange);
                let _ = channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await;
            }
            for work in [WorkQueue::Runs, WorkQueue::Deliveries] {
                for queue in [topology.queue(work), topology.dead_queue(work)] {
                    let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
                }
            }
        });
    }
}
