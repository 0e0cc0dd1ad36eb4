//! A consumer of a work queue, and the messages that the broker pushed to it but that are not handled yet.
//! Messages that arrive while others are handled are the next batch.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

use super::coalesce::Coalesced;
use super::message::Unread;
use super::outbox::Newer;
use super::{Nudge, Publisher, QueueError, WorkQueue, answered};
use crate::lifecycle::Lifecycle;

/// Messages of one batch, and the most that the broker pushes ahead.
pub(super) const PREFETCH: u16 = 64;
/// How long a message that only a newer version reads stays away from its queue.
const NEWER_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Incoming {
    channel: Channel,
    consumer: Consumer,
    /// The queue's name.
    queue: String,
    /// The first message of the next batch: the last batch had no place for its id.
    held_over: Option<Delivery>,
}

impl Incoming {
    /// Starts a consumer to which the broker pushes up to `prefetch` messages ahead.
    pub(super) async fn start(channel: &Channel, queue: &str, prefetch: u16) -> Result<Self, QueueError> {
        // It holds for the consumers that the channel gets from now on.
        answered("set the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(queue.into(), "".into(), options, arguments);
        let consumer = answered("consume", consuming).await?;
        Ok(Self { channel: channel.clone(), consumer, queue: queue.to_owned(), held_over: None })
    }

    /// Waits for a message. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Result<Delivery, QueueError> {
        if let Some(delivery) = self.held_over.take() {
            return Ok(delivery);
        }
        let received = self.consumer.next().await;
        self.received(received)
    }

    /// Returns a batch of `first` and of the messages that are here already, with at most `most_ids` ids.
    pub(super) fn batch(&mut self, first: Delivery, most_ids: usize) -> Result<Pushed, QueueError> {
        let (mut batch, mut next) = (Pushed::default(), Some(first));
        while let Some(delivery) = next.take() {
            self.held_over = batch.add(delivery, most_ids);
            if self.held_over.is_none()
                && batch.messages < usize::from(PREFETCH)
                && let Some(received) = self.consumer.next().now_or_never()
            {
                next = Some(self.received(received)?);
            }
        }
        Ok(batch)
    }

    fn received(&self, received: Option<lapin::Result<Delivery>>) -> Result<Delivery, QueueError> {
        Ok(received.ok_or_else(|| QueueError::ConsumerEnded(self.queue.clone()))??)
    }

    /// Cancels the consumer. Returns a batch of all messages that the broker had pushed.
    pub(super) async fn cancel(mut self) -> Result<Pushed, QueueError> {
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        answered("cancel a consumer", cancelling).await?;
        let mut pushed = Pushed::default();
        if let Some(delivery) = self.held_over.take() {
            pushed.add(delivery, usize::MAX);
        }
        // The stream ends after the last message.
        while let Some(delivery) = self.consumer.next().await {
            pushed.add(delivery?, usize::MAX);
        }
        Ok(pushed)
    }
}

/// Messages that are handled together.
#[derive(Default)]
pub(super) struct Pushed {
    nudges: Coalesced,
    /// The last message with one of the nudges. The delivery tags of a channel go up, so an answer to this
    /// message that covers all before it answers the batch and no later message.
    last: Option<Delivery>,
    unread: Vec<(Delivery, Unread)>,
    messages: usize,
}

impl Pushed {
    /// Returns the message if its id would be one too many.
    fn add(&mut self, delivery: Delivery, most_ids: usize) -> Option<Delivery> {
        match Nudge::decode(&delivery.data) {
            Ok(nudge) if self.nudges.len() >= most_ids && !self.nudges.contains(nudge.id) => {
                return Some(delivery);
            }
            Ok(nudge) => {
                self.nudges.add(nudge);
                self.last = Some(delivery);
            }
            Err(why) => self.unread.push((delivery, why)),
        }
        self.messages += 1;
        None
    }

    /// Takes the nudges of the batch: distinct ids, with their counts added.
    pub(super) fn take_nudges(&mut self) -> Vec<Nudge> {
        std::mem::take(&mut self.nudges).into_nudges()
    }

    /// Puts messages of newer versions back and dead-letters those that no version can read. Call it before
    /// [`Self::ack`] and [`Self::nack`].
    pub(super) async fn settle_unread(
        &mut self,
        work: WorkQueue,
        publisher: &Publisher,
        lifecycle: &Lifecycle,
    ) -> Result<(), QueueError> {
        let queue = work.as_str();
        for (delivery, why) in self.unread.drain(..) {
            let (bytes, newer) = (delivery.data.len(), Newer::of(&delivery));
            match (why, newer) {
                (Unread::Newer, Some(newer)) => {
                    metrics::counter!("capi_messages_newer_total", "queue" => queue).increment(1);
                    tracing::warn!(queue, bytes, "put a message of a newer version back");
                    if publisher.health().is_up() {
                        send_later(work, newer, publisher.clone(), lifecycle);
                        delivery.ack(BasicAckOptions::default()).await?;
                    } else {
                        delivery.nack(BasicNackOptions { requeue: true, ..Default::default() }).await?;
                    }
                }
                (Unread::Newer, None) => {
                    tracing::warn!(queue, bytes, "no process reads a message of a newer version");
                    delivery.reject(BasicRejectOptions { requeue: false }).await?;
                }
                (Unread::Undecodable, _) => {
                    metrics::counter!("capi_messages_undecodable_total").increment(1);
                    tracing::warn!(queue, bytes, "failed to decode a message; it is dead-lettered");
                    delivery.reject(BasicRejectOptions { requeue: false }).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn ack(&self) -> Result<(), QueueError> {
        if let Some(last) = &self.last {
            last.ack(BasicAckOptions { multiple: true }).await?;
        }
        Ok(())
    }

    /// Requeues the messages. The broker counts this as a delivery of each.
    pub(super) async fn nack(&self) -> Result<(), QueueError> {
        if let Some(last) = &self.last {
            last.nack(BasicNackOptions { multiple: true, requeue: true }).await?;
        }
        Ok(())
    }
}

/// Sends the message to its queue as a new one: a requeued one would count as delivered, and the broker
/// dead-letters a message that it delivered too often. After a pause, so that it does not go round and round.
/// The sweeper repairs it if the process dies meanwhile.
fn send_later(queue: WorkQueue, newer: Newer, publisher: Publisher, lifecycle: &Lifecycle) {
    let stopping = lifecycle.stopping().clone();
    lifecycle.spawn(async move {
        tokio::select! { () = tokio::time::sleep(NEWER_PAUSE) => {}, () = stopping.cancelled() => {} }
        publisher.send_newer(queue, newer);
    });
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn delivery(tag: u64, data: &[u8]) -> Delivery {
        Delivery::mock(tag, "".into(), "capi.runs".into(), false, data.to_vec())
    }

    #[test]
    fn a_batch_adds_the_nudges_of_an_id_and_holds_the_next_id_over() {
        let ids: [_; 3] = std::array::from_fn(|_| Uuid::now_v7());
        let nudges =
            [Nudge::new(ids[0]), Nudge::times(ids[1], 3), Nudge::times(ids[0], 2), Nudge::new(ids[1])];
        let mut batch = Pushed::default();
        for (tag, nudge) in (1..).zip(nudges) {
            assert!(batch.add(delivery(tag, &nudge.encode()), 2).is_none());
        }
        assert!(batch.add(delivery(5, b"<order/>"), 2).is_none(), "it takes no place of an id");
        assert!(batch.add(delivery(6, br#"{"v":2}"#), 2).is_none());
        let held_over = batch.add(delivery(7, &Nudge::new(ids[2]).encode()), 2);
        assert_eq!(held_over.map(|delivery| delivery.delivery_tag), Some(7));
        assert_eq!(batch.last.as_ref().map(|last| last.delivery_tag), Some(4), "acknowledged up to here");
        let unread: Vec<_> =
            batch.unread.iter().map(|(delivery, why)| (delivery.delivery_tag, *why)).collect();
        assert_eq!(unread, [(5, Unread::Undecodable), (6, Unread::Newer)]);
        assert_eq!(batch.messages, 6);
        assert_eq!(batch.take_nudges(), [Nudge::times(ids[0], 3), Nudge::times(ids[1], 4)]);
    }
}
