//! The operator's commands on dead letters: messages that no version can decode, or that were delivered too
//! often.

use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions, QueuePurgeOptions,
};
use lapin::types::AMQPValue;
use lapin::{Channel, Connection};

use super::publish::publish;
use super::{Broker, Nudge, QueueError, WorkQueue};
use crate::text::CleanText;

/// Bounds one whole command: ten thousand messages, one after the other.
const DEADLINE: Duration = Duration::from_mins(10);
/// The number of bytes of a message that a [`DeadLetter`] shows.
const SHOWN: usize = 80;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `None` if the message cannot be decoded.
    pub nudge: Option<Nudge>,
    /// The reason as RabbitMQ names it: `rejected` (not decodable), `delivery_limit` (failed again and
    /// again), …
    pub reason: String,
    /// The first bytes as text.
    pub begin: String,
    /// Bytes of the whole message.
    pub size: usize,
}

/// How many dead letters [`DeadLetters::requeue`] moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Nudges that were sent to their queue again.
    pub sent: usize,
    /// Messages that stay: they are no nudges, so the consumer would reject them again.
    pub left: usize,
}

/// A connection for the commands on dead letters.
pub struct DeadLetters {
    broker: Broker,
    channel: Channel,
    _connection: Connection,
}

impl DeadLetters {
    /// Connects and declares the queues.
    pub async fn open(broker: Broker) -> Result<Self, QueueError> {
        within(async {
            let connection = broker.connect().await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(Self { broker, channel, _connection: connection })
        })
        .await
    }

    /// Returns the first `most` dead letters of `queue` and the number of all. The broker counts each read as
    /// a delivery.
    pub async fn list(&self, queue: WorkQueue, most: usize) -> Result<(Vec<DeadLetter>, usize), QueueError> {
        within(async {
            let (mut letters, mut last, mut all) = (Vec::new(), None, 0);
            while letters.len() < most
                && let Some(message) = self.take(queue).await?
            {
                all = all.max(letters.len() + 1 + usize::try_from(message.message_count).unwrap_or(0));
                letters.push(shown(&message));
                last = Some(message);
            }
            put_back(last).await?;
            Ok((letters, all))
        })
        .await
    }

    /// Sends the nudges among the dead letters to their queue again.
    pub async fn requeue(&self, queue: WorkQueue) -> Result<Requeued, QueueError> {
        within(async {
            let (mut requeued, mut last_left, mut ahead) = (Requeued::default(), None, u32::MAX);
            // Messages that are dead-lettered again meanwhile must not keep the loop going.
            while ahead > 0
                && let Some(message) = self.take(queue).await?
            {
                ahead = ahead.min(message.message_count + 1) - 1;
                if let Ok(nudge) = Nudge::decode(&message.delivery.data) {
                    publish(&self.channel, self.broker.topology.queue(queue), nudge).await?;
                    message.delivery.ack(BasicAckOptions::default()).await?;
                    requeued.sent += 1;
                } else {
                    requeued.left += 1;
                    last_left = Some(message);
                }
            }
            put_back(last_left).await?;
            Ok(requeued)
        })
        .await
    }

    /// Deletes all dead letters of `queue` and returns their number.
    pub async fn drop_all(&self, queue: WorkQueue) -> Result<u32, QueueError> {
        let queue = self.broker.topology.dead_queue(queue);
        within(async { Ok(self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?) })
            .await
    }

    async fn take(&self, queue: WorkQueue) -> Result<Option<BasicGetMessage>, QueueError> {
        let queue = self.broker.topology.dead_queue(queue);
        Ok(self.channel.basic_get(queue.into(), BasicGetOptions::default()).await?)
    }
}

async fn within<T>(command: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    let ended = tokio::time::timeout(DEADLINE, command).await;
    ended.unwrap_or(Err(QueueError::Timeout(DEADLINE, "read the dead letters")))
}

/// Requeues this message and all unacknowledged ones before it.
async fn put_back(last: Option<BasicGetMessage>) -> Result<(), QueueError> {
    if let Some(message) = last {
        let options = BasicNackOptions { multiple: true, requeue: true };
        message.delivery.nack(options).await?;
    }
    Ok(())
}

fn shown(message: &BasicGetMessage) -> DeadLetter {
    let data = &message.delivery.data;
    let headers = message.delivery.properties.headers().as_ref();
    let reason = headers.and_then(|headers| match headers.inner().get("x-first-death-reason") {
        Some(AMQPValue::LongString(reason)) => Some(reason.to_string()),
        _ => None,
    });
    let begin = CleanText::from_bytes(&data[..data.len().min(SHOWN)], SHOWN * 3).into_string();
    DeadLetter {
        nudge: Nudge::decode(data).ok(),
        reason: reason.unwrap_or_else(|| "unknown".to_owned()),
        begin: begin.escape_debug().to_string(),
        size: data.len(),
    }
}
