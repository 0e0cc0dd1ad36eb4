//! What processes tell all others at once, past the queues of work. News is a nudge like any other: it may be lost or come
//! twice, and whoever hears it reads the row.

use uuid::Uuid;

use crate::ids::RunId;

/// Parts into which runs are divided by their ids.
const BUCKETS: u8 = 64;

/// A part of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// The part that the run belongs to; the end of a UUIDv7 is random.
    #[must_use]
    pub const fn of(run: RunId) -> Self {
        Self(run.uuid().as_bytes()[15] % BUCKETS)
    }
}

/// The exchanges that news goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// For whoever watches a run.
    RunEvents,
    /// For whoever executes one.
    RunCancel,
    /// For whoever could execute one more.
    LeaseFree,
}

impl Exchange {
    /// All.
    pub const ALL: [Self; 3] = [Self::RunEvents, Self::RunCancel, Self::LeaseFree];

    /// The name behind the prefix.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunEvents => "run.events",
            Self::RunCancel => "run.cancel",
            Self::LeaseFree => "lease.free",
        }
    }
}

/// What a process may listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Whatever happens to these runs.
    Runs(Bucket),
    /// Runs that were cancelled under a worker's hands.
    Cancels,
    /// Leases that were given back.
    FreeLeases,
}

impl Topic {
    pub(super) const fn exchange(self) -> Exchange {
        match self {
            Self::Runs(_) => Exchange::RunEvents,
            Self::Cancels => Exchange::RunCancel,
            Self::FreeLeases => Exchange::LeaseFree,
        }
    }

    pub(super) fn routing_key(self) -> String {
        match self {
            Self::Runs(Bucket(number)) => number.to_string(),
            Self::Cancels | Self::FreeLeases => String::new(),
        }
    }
}

/// One piece of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Something happened to this run.
    Happened(RunId),
    /// This run was cancelled while a worker held it.
    Cancelled(RunId),
    /// The lease of this run was given back.
    LeaseFree(RunId),
}

impl News {
    pub(super) const fn topic(self) -> Topic {
        match self {
            Self::Happened(run) => Topic::Runs(Bucket::of(run)),
            Self::Cancelled(_) => Topic::Cancels,
            Self::LeaseFree(_) => Topic::FreeLeases,
        }
    }

    pub(super) const fn id(self) -> Uuid {
        match self {
            Self::Happened(run) | Self::Cancelled(run) | Self::LeaseFree(run) => run.uuid(),
        }
    }

    pub(super) fn of(exchange: Exchange, id: Uuid) -> Self {
        match exchange {
            Exchange::RunEvents => Self::Happened(id.into()),
            Exchange::RunCancel => Self::Cancelled(id.into()),
            Exchange::LeaseFree => Self::LeaseFree(id.into()),
        }
    }
}

/// What a process hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// This.
    News(News),
    /// From now on this is heard of; what happened before may have been missed.
    Listening(Topic),
    /// It was bound again, should somebody have deleted the binding: then nothing was heard for some seconds. For whoever looks
    /// seldom by himself.
    BoundAgain(Topic),
}
