//! Broadcasts: messages that one process sends to all others through fan-out exchanges, beside the work
//! queues. A broadcast carries only ids, like a nudge. It may be lost or arrive twice, so its receiver reads
//! the row. The messages of `live` use such exchanges too.

use uuid::Uuid;

use super::live::{ModelWords, WatchedRuns};
use super::message::decode_ids;
use crate::ids::RunId;

/// The number of groups into which runs are divided by their ids.
const BUCKETS: u8 = 64;

/// A group of runs that share one routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// Takes the last byte of the id: the end of a UUIDv7 is random.
    #[must_use]
    pub const fn of(run: RunId) -> Self {
        Self(run.uuid().as_bytes()[15] % BUCKETS)
    }
}

/// The exchanges that carry broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// Gateways receive it for the runs that their clients watch.
    RunEvents,
    /// Workers receive it for the runs that they execute.
    RunCancel,
    /// Workers receive it when a lease is free to take over.
    LeaseFree,
    /// Workers receive it for runs whose streams are open.
    RunWatched,
    /// Gateways receive it for the streams of their clients.
    RunWords,
}

impl Exchange {
    pub const ALL: [Self; 5] =
        [Self::RunEvents, Self::RunCancel, Self::LeaseFree, Self::RunWatched, Self::RunWords];

    /// The exchange's name after the prefix. The former version uses the same names, so they must not change.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunEvents => "run.events",
            Self::RunCancel => "run.cancel",
            Self::LeaseFree => "lease.free",
            Self::RunWatched => "run.watched",
            Self::RunWords => "run.words",
        }
    }
}

/// What a process can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Changes of the runs in one bucket.
    Runs(Bucket),
    /// Cancels of runs that a worker holds.
    Cancels,
    /// Leases that a worker released.
    ReleasedLeases,
    /// Runs whose streams are open at a gateway.
    Watched,
    /// The words of models that answer the watched runs of one bucket.
    Words(Bucket),
}

impl Topic {
    pub(crate) const fn exchange(self) -> Exchange {
        match self {
            Self::Runs(_) => Exchange::RunEvents,
            Self::Cancels => Exchange::RunCancel,
            Self::ReleasedLeases => Exchange::LeaseFree,
            Self::Watched => Exchange::RunWatched,
            Self::Words(_) => Exchange::RunWords,
        }
    }

    pub(crate) fn routing_key(self) -> String {
        match self {
            Self::Runs(Bucket(number)) | Self::Words(Bucket(number)) => number.to_string(),
            Self::Cancels | Self::ReleasedLeases | Self::Watched => String::new(),
        }
    }
}

/// One message to all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    /// The run has a new event or a new status.
    RunChanged(RunId),
    /// The run was cancelled while a worker held it.
    RunCancelled(RunId),
    /// A worker released the lease of this run before the run was over.
    LeaseReleased(RunId),
}

impl Broadcast {
    pub(super) const fn topic(self) -> Topic {
        match self {
            Self::RunChanged(run) => Topic::Runs(Bucket::of(run)),
            Self::RunCancelled(_) => Topic::Cancels,
            Self::LeaseReleased(_) => Topic::ReleasedLeases,
        }
    }

    pub(super) const fn id(self) -> Uuid {
        match self {
            Self::RunChanged(run) | Self::RunCancelled(run) | Self::LeaseReleased(run) => run.uuid(),
        }
    }
}

/// What a subscriber passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Broadcast(Broadcast),
    Watched(WatchedRuns),
    Words(ModelWords),
    /// The topic is bound from now on. Earlier broadcasts may have been missed, so read the rows once.
    Subscribed(Topic),
    /// The topic was bound again. If the binding had been deleted, broadcasts of the last seconds were
    /// missed. Processes that rarely poll use this to read the rows.
    Resubscribed(Topic),
}

impl Received {
    /// Reads a message. Empty for one that only another version can read.
    pub(super) fn decode(exchange: Exchange, bytes: &[u8]) -> Vec<Self> {
        let each = |what: fn(RunId) -> Broadcast| {
            decode_ids(bytes).into_iter().map(|id| Self::Broadcast(what(id.into()))).collect()
        };
        match exchange {
            Exchange::RunEvents => each(Broadcast::RunChanged),
            Exchange::RunCancel => each(Broadcast::RunCancelled),
            Exchange::LeaseFree => each(Broadcast::LeaseReleased),
            Exchange::RunWatched => WatchedRuns::decode(bytes).map(Self::Watched).into_iter().collect(),
            Exchange::RunWords => ModelWords::decode(bytes).map(Self::Words).into_iter().collect(),
        }
    }
}
