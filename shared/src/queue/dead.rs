//! Dead letters, for the operator's hands: messages that are no nudges, or that were delivered too often without an end.

use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions, QueuePurgeOptions,
};
use lapin::types::AMQPValue;
use lapin::{Channel, Connection};

use super::publisher::publish;
use super::{Broker, Nudge, QueueError, Work};
use crate::text::CleanText;

/// For the whole of one command: ten thousand messages, one after the other.
const DEADLINE: Duration = Duration::from_mins(10);
/// Bytes of a message that are shown.
const SHOWN: usize = 80;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it says, where it is a nudge.
    pub nudge: Option<Nudge>,
    /// RabbitMQ's word: `rejected` (not decodable), `delivery_limit` (failed again and again), …
    pub reason: String,
    /// Its first bytes, as text.
    pub begin: String,
    /// Bytes of all of it.
    pub size: usize,
}

/// What became of dead letters that were to go back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Nudges that are in their queue again.
    pub sent: usize,
    /// Messages that are no nudges: they would only come back.
    pub left: usize,
}

/// A connection to look after dead letters.
pub struct DeadLetters {
    broker: Broker,
    channel: Channel,
    _connection: Connection,
}

impl DeadLetters {
    /// Connects, and declares what is missing.
    pub async fn open(broker: Broker) -> Result<Self, QueueError> {
        within(async {
            let connection = broker.connect().await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(Self { broker, channel, _connection: connection })
        })
        .await
    }

    /// The first `most` of a kind of work, and how many there are. (To the broker each look is a delivery.)
    pub async fn list(&self, work: Work, most: usize) -> Result<(Vec<DeadLetter>, usize), QueueError> {
        within(async {
            let (mut letters, mut last, mut all) = (Vec::new(), None, 0);
            while letters.len() < most
                && let Some(message) = self.take(work).await?
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

    /// Sends the nudges among them to their queue again.
    pub async fn requeue(&self, work: Work) -> Result<Requeued, QueueError> {
        within(async {
            let (mut requeued, mut last_left, mut ahead) = (Requeued::default(), None, u32::MAX);
            // What dies again meanwhile is not waited for.
            while ahead > 0
                && let Some(message) = self.take(work).await?
            {
                ahead = ahead.min(message.message_count + 1) - 1;
                if let Ok(nudge) = Nudge::decode(&message.delivery.data) {
                    publish(&self.channel, self.broker.topology.queue(work), nudge).await?;
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

    /// Deletes all of them; how many there were.
    pub async fn drop_all(&self, work: Work) -> Result<u32, QueueError> {
        let queue = self.broker.topology.dead_queue(work);
        within(async { Ok(self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?) })
            .await
    }

    async fn take(&self, work: Work) -> Result<Option<BasicGetMessage>, QueueError> {
        let queue = self.broker.topology.dead_queue(work);
        Ok(self.channel.basic_get(queue.into(), BasicGetOptions::default()).await?)
    }
}

async fn within<T>(command: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    let ended = tokio::time::timeout(DEADLINE, command).await;
    ended.unwrap_or(Err(QueueError::Timeout(DEADLINE, "look after dead letters")))
}

/// It, and all before it that nobody acknowledged.
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
