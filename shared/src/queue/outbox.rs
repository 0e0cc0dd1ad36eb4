//! What one batch of the publisher sends. Orders that waited together are merged: nudges of the same id, and
//! changes of runs that the same subscribers receive.

use std::collections::BTreeMap;

use lapin::message::Delivery;
use lapin::types::AMQPValue;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::coalesce::Coalesced;
use super::message::{MAX_IDS, encode_ids};
use super::{Broadcast, Nudge, Topic, WorkQueue};

/// Which queue to count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Ready(WorkQueue),
    Dead(WorkQueue),
}

/// The header of a message of a newer version with the times that it was put back.
pub(super) const ROUNDS: &str = "x-capi-rounds";
/// An hour. Then no process of the newer version runs, and the message becomes a dead letter.
const MOST_ROUNDS: u32 = 18_000;

/// A message that only a newer version reads, for its queue.
#[derive(Debug)]
pub(super) struct Newer {
    pub(super) body: Vec<u8>,
    /// How often it was put back, this time included.
    pub(super) rounds: u32,
}

impl Newer {
    /// `None` if the message was put back too often.
    pub(super) fn of(delivery: &Delivery) -> Option<Self> {
        let headers = delivery.properties.headers().as_ref();
        let rounds = match headers.and_then(|headers| headers.inner().get(ROUNDS)) {
            Some(AMQPValue::LongUInt(rounds)) => *rounds,
            _ => 0,
        };
        (rounds < MOST_ROUNDS).then(|| Self { body: delivery.data.clone(), rounds: rounds + 1 })
    }
}

/// What a caller asks the publisher to send.
#[derive(Debug)]
pub(super) enum Order {
    Nudge(WorkQueue, Nudge),
    /// The nudge of a create. It is not sent while the queue is full.
    NudgeIfRoom(WorkQueue, Nudge),
    Newer(WorkQueue, Newer),
    Broadcast(Broadcast),
    Count(Counted, oneshot::Sender<u32>),
}

/// The messages of a batch.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) nudges: Vec<(WorkQueue, Nudge)>,
    pub(super) newer: Vec<(WorkQueue, Newer)>,
    pub(super) broadcasts: Vec<(Topic, Vec<u8>)>,
    pub(super) counts: Vec<(Counted, oneshot::Sender<u32>)>,
    /// Whether creates added work to the queue.
    created: [bool; WorkQueue::ALL.len()],
}

impl Outbox {
    /// `spare` says whether the nudge of a create is not sent.
    pub(super) fn sort(
        orders: impl IntoIterator<Item = Order>,
        mut spare: impl FnMut(WorkQueue, Nudge) -> bool,
    ) -> Self {
        let mut outbox = Self::default();
        let mut nudges = WorkQueue::ALL.map(|_| Coalesced::default());
        let mut told = BTreeMap::<Topic, Vec<Uuid>>::new();
        for order in orders {
            match order {
                Order::Nudge(queue, nudge) => merge(&mut nudges, queue, nudge),
                Order::NudgeIfRoom(queue, nudge) => {
                    outbox.created[queue.index()] = true;
                    if spare(queue, nudge) {
                        let spared = metrics::counter!("capi_nudges_spared_total", "queue" => queue.as_str());
                        spared.increment(nudge.count.into());
                    } else {
                        merge(&mut nudges, queue, nudge);
                    }
                }
                Order::Newer(queue, newer) => outbox.newer.push((queue, newer)),
                Order::Broadcast(broadcast) => {
                    let ids = told.entry(broadcast.topic()).or_default();
                    if !ids.contains(&broadcast.id()) {
                        ids.push(broadcast.id());
                    }
                }
                Order::Count(counted, answer) => outbox.counts.push((counted, answer)),
            }
        }
        for (queue, merged) in WorkQueue::ALL.into_iter().zip(nudges) {
            outbox.nudges.extend(merged.into_nudges().into_iter().map(|nudge| (queue, nudge)));
        }
        for (topic, ids) in told {
            let bodies = ids.chunks(ids_at_once(topic)).filter_map(encode_ids);
            outbox.broadcasts.extend(bodies.map(|body| (topic, body)));
        }
        outbox
    }

    pub(super) fn created(&self, queue: WorkQueue) -> bool {
        self.created[queue.index()]
    }
}

fn merge(nudges: &mut [Coalesced; WorkQueue::ALL.len()], queue: WorkQueue, nudge: Nudge) {
    if nudges[queue.index()].add(nudge) {
        metrics::counter!("capi_nudges_merged_total", "queue" => queue.as_str()).increment(1);
    }
}

/// Cancels are rare and must reach workers of the former version, which read one id of a message.
const fn ids_at_once(topic: Topic) -> usize {
    match topic {
        Topic::Runs(_) => MAX_IDS,
        Topic::Cancels | Topic::ReleasedLeases | Topic::Watched | Topic::Words(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::FieldTable;

    use super::super::message::decode_ids;
    use super::super::{Bucket, Received};
    use super::*;
    use crate::ids::RunId;

    fn in_bucket(bucket: u8, number: u128) -> RunId {
        RunId::from(Uuid::from_u128((number << 8) | u128::from(bucket)))
    }

    #[test]
    fn nudges_of_one_id_and_queue_are_one_message() {
        let [user, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let orders = [
            Order::Nudge(WorkQueue::Runs, Nudge::new(user)),
            Order::NudgeIfRoom(WorkQueue::Runs, Nudge::new(other)),
            Order::Nudge(WorkQueue::Deliveries, Nudge::new(user)),
            Order::NudgeIfRoom(WorkQueue::Runs, Nudge::new(user)),
            Order::Nudge(WorkQueue::Runs, Nudge::times(user, 5)),
        ];
        let outbox = Outbox::sort(orders, |_, _| false);
        let expected = [
            (WorkQueue::Runs, Nudge::times(user, 7)),
            (WorkQueue::Runs, Nudge::new(other)),
            (WorkQueue::Deliveries, Nudge::new(user)),
        ];
        assert_eq!(outbox.nudges, expected);
        assert!(outbox.created(WorkQueue::Runs) && !outbox.created(WorkQueue::Deliveries));
    }

    #[test]
    fn a_full_queue_gets_no_nudges_of_creates() {
        let [user, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let orders = [
            Order::NudgeIfRoom(WorkQueue::Runs, Nudge::new(user)),
            Order::Nudge(WorkQueue::Runs, Nudge::new(other)),
            Order::NudgeIfRoom(WorkQueue::Runs, Nudge::new(other)),
        ];
        let outbox = Outbox::sort(orders, |queue, _| queue == WorkQueue::Runs);
        assert_eq!(outbox.nudges, [(WorkQueue::Runs, Nudge::new(other))], "ends and sweepers still nudge");
        assert!(outbox.created(WorkQueue::Runs), "so the queue is counted again");
    }

    #[test]
    fn changes_of_runs_in_one_bucket_are_one_message() {
        let (first, second, elsewhere) = (in_bucket(3, 1), in_bucket(3, 2), in_bucket(4, 1));
        let changed =
            [first, elsewhere, second, first].map(|run| Order::Broadcast(Broadcast::RunChanged(run)));
        let outbox = Outbox::sort(changed, |_, _| false);
        let told: Vec<_> = outbox.broadcasts.iter().map(|(topic, body)| (*topic, decode_ids(body))).collect();
        let runs = |run| Topic::Runs(Bucket::of(run));
        let both = vec![first.uuid(), second.uuid()];
        assert_eq!(told, [(runs(first), both), (runs(elsewhere), vec![elsewhere.uuid()])]);
        let (topic, body) = &outbox.broadcasts[0];
        let expected = [first, second].map(|run| Received::Broadcast(Broadcast::RunChanged(run)));
        assert_eq!(Received::decode(topic.exchange(), body), expected);
    }

    #[test]
    fn a_message_of_a_newer_version_goes_round_for_a_long_time_and_not_for_ever() {
        let delivery = |rounds: u32| {
            let mut headers = FieldTable::default();
            headers.insert(ROUNDS.into(), AMQPValue::LongUInt(rounds));
            let mut delivery = Delivery::mock(1, "".into(), "capi.runs".into(), false, b"{}".to_vec());
            delivery.properties = BasicProperties::default().with_headers(headers);
            delivery
        };
        let rounds = |rounds| Newer::of(&delivery(rounds)).map(|newer| newer.rounds);
        assert_eq!([0, 25, MOST_ROUNDS].map(rounds), [Some(1), Some(26), None]);
        let first = Delivery::mock(1, "".into(), "capi.runs".into(), false, b"{}".to_vec());
        let newer = Newer::of(&first).unwrap();
        assert_eq!((newer.body.as_slice(), newer.rounds), (b"{}".as_slice(), 1));
        let outbox = Outbox::sort([Order::Newer(WorkQueue::Runs, newer)], |_, _| true);
        assert_eq!(outbox.newer.len(), 1);
    }

    #[test]
    fn a_message_has_few_ids_and_each_cancel_goes_alone() {
        let runs: Vec<_> = (0..60).map(|number| in_bucket(3, number)).collect();
        let changed = runs.iter().map(|run| Order::Broadcast(Broadcast::RunChanged(*run)));
        let outbox = Outbox::sort(changed, |_, _| false);
        let sizes: Vec<_> = outbox.broadcasts.iter().map(|(_, body)| decode_ids(body).len()).collect();
        assert_eq!(sizes, [MAX_IDS, MAX_IDS, 60 - 2 * MAX_IDS]);
        let cancelled = runs.iter().take(3).map(|run| Order::Broadcast(Broadcast::RunCancelled(*run)));
        assert_eq!(Outbox::sort(cancelled, |_, _| false).broadcasts.len(), 3);
    }
}
