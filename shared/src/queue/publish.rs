//! Publishes one message to a work queue, persistent and with a confirm.

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};

use super::outbox::{Newer, ROUNDS};
use super::{Nudge, QueueError, answered};

const PERSISTENT: u8 = 2;

pub(super) async fn publish(channel: &Channel, queue: String, nudge: Nudge) -> Result<(), QueueError> {
    publish_to(channel, queue, &nudge.encode(), BasicProperties::default()).await
}

pub(super) async fn publish_newer(channel: &Channel, queue: String, newer: Newer) -> Result<(), QueueError> {
    let mut headers = FieldTable::default();
    headers.insert(ROUNDS.into(), AMQPValue::LongUInt(newer.rounds));
    publish_to(channel, queue, &newer.body, BasicProperties::default().with_headers(headers)).await
}

async fn publish_to(
    channel: &Channel,
    queue: String,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), QueueError> {
    let sending = async {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = properties.with_delivery_mode(PERSISTENT);
        channel.basic_publish("".into(), queue.as_str().into(), options, body, properties).await?.await
    };
    let sent = match answered("publish a nudge", sending).await {
        Ok(Confirmation::Ack(None)) => Ok(()),
        // An ack that returns the message means that the broker did not route it.
        Ok(_) => Err(QueueError::NotRouted(queue)),
        Err(error) => Err(error),
    };
    let outcome = if sent.is_ok() { "confirmed" } else { "lost" };
    metrics::counter!("capi_nudges_published_total", "outcome" => outcome).increment(1);
    sent
}
