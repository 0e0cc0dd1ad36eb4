//! Every queue and exchange there is. Works alike on RabbitMQ 3.10 and 4.x: durable quorum queues on the default exchange, with
//! an explicit delivery limit and a dead-letter queue each; no priorities, no plugins.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::Exchange;

/// The two kinds of work that nudges speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// "This user may have a run to start."
    Runs,
    /// "This lane may have a webhook to send."
    Deliveries,
}

impl Work {
    /// The queue's name behind the prefix.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Deliveries => "deliveries",
        }
    }
}

/// Deliveries of one message before it is dead-lettered. RabbitMQ 4 has a default of 20, 3.10 has none.
const DELIVERY_LIMIT: i32 = 20;
/// Dead letters that are kept: nudges hold no data, a few tell the operator enough.
const MAX_DEAD_LETTERS: i32 = 10_000;

/// The names under one prefix.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// All names begin with `prefix` and a dot.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The queue of this kind of work.
    #[must_use]
    pub fn queue(&self, work: Work) -> String {
        format!("{}.{}", self.prefix, work.as_str())
    }

    /// Where its dead letters go.
    #[must_use]
    pub fn dead_queue(&self, work: Work) -> String {
        format!("{}.dead", self.queue(work))
    }

    /// Where news is told.
    #[must_use]
    pub fn exchange(&self, exchange: Exchange) -> String {
        format!("{}.{}", self.prefix, exchange.as_str())
    }

    /// Creates what is missing; a no-op on what is there.
    pub async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        for work in [Work::Runs, Work::Deliveries] {
            let dead = self.dead_queue(work);
            declare(channel, &dead, &[("x-max-length", AMQPValue::LongInt(MAX_DEAD_LETTERS))]).await?;
            let arguments = [
                ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
                ("x-dead-letter-exchange", long_string("")),
                ("x-dead-letter-routing-key", long_string(&dead)),
            ];
            declare(channel, &self.queue(work), &arguments).await?;
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
    fn names_are_part_of_the_operators_contract() {
        let topology = Topology::new("capi");
        let names =
            [Work::Runs, Work::Deliveries].map(|work| (topology.queue(work), topology.dead_queue(work)));
        let exchanges = Exchange::ALL.map(|exchange| topology.exchange(exchange)).join(" ");
        insta::assert_snapshot!(format!("{names:?} {exchanges}"), @r#"[("capi.runs", "capi.runs.dead"), ("capi.deliveries", "capi.deliveries.dead")] capi.run.events capi.run.cancel capi.lease.free"#);
    }
}
