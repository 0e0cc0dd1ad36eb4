//! All queues and exchanges. They work alike on RabbitMQ 3.10 and 4.x: durable quorum queues on the default
//! exchange, each with an explicit delivery limit and a dead-letter queue; no priorities, no plugins.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::Exchange;

/// The queues that carry nudges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkQueue {
    /// The id is a user's, who may have a run to start.
    Runs,
    /// The id is a lane's, which may have a webhook to send.
    Deliveries,
}

impl WorkQueue {
    pub const ALL: [Self; 2] = [Self::Runs, Self::Deliveries];

    /// The position in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The queue's name after the prefix.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Deliveries => "deliveries",
        }
    }
}

/// Deliveries of one message before the broker dead-letters it. RabbitMQ 4 has a default of 20, 3.10 has
/// none.
const DELIVERY_LIMIT: i32 = 20;
/// Bounds the dead letters: a nudge holds no data, so a sample is enough for the operator.
const MAX_DEAD_LETTERS: i32 = 10_000;

/// The names of the queues and exchanges under one prefix.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// All names start with `prefix` and a dot.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    #[must_use]
    pub fn queue(&self, queue: WorkQueue) -> String {
        format!("{}.{}", self.prefix, queue.as_str())
    }

    #[must_use]
    pub fn dead_queue(&self, queue: WorkQueue) -> String {
        format!("{}.dead", self.queue(queue))
    }

    #[must_use]
    pub fn exchange(&self, exchange: Exchange) -> String {
        format!("{}.{}", self.prefix, exchange.as_str())
    }

    /// Declares all queues and exchanges. Declaring an existing one changes nothing.
    pub async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        for queue in WorkQueue::ALL {
            let dead = self.dead_queue(queue);
            declare(channel, &dead, &[("x-max-length", AMQPValue::LongInt(MAX_DEAD_LETTERS))]).await?;
            let arguments = [
                ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
                ("x-dead-letter-exchange", long_string("")),
                ("x-dead-letter-routing-key", long_string(&dead)),
            ];
            declare(channel, &self.queue(queue), &arguments).await?;
        }
        for exchange in Exchange::ALL {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let name = self.exchange(exchange);
            channel
                .exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default())
                .await?;
        }
        Ok(())
    }
}

async fn declare(channel: &Channel, name: &str, arguments: &[(&str, AMQPValue)]) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), long_string("quorum"));
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), options, table).await?;
    Ok(())
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_change() {
        let topology = Topology::new("capi");
        let names = WorkQueue::ALL.map(|queue| (topology.queue(queue), topology.dead_queue(queue)));
        let exchanges = Exchange::ALL.map(|exchange| topology.exchange(exchange)).join(" ");
        let queues = [("capi.runs", "capi.runs.dead"), ("capi.deliveries", "capi.deliveries.dead")];
        assert_eq!(names, queues.map(|(queue, dead)| (queue.to_owned(), dead.to_owned())));
        assert_eq!(
            exchanges,
            "capi.run.events capi.run.cancel capi.lease.free capi.run.watched capi.run.words"
        );
    }
}
