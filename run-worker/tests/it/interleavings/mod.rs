//! Random interleavings of all operations that change a run, by several workers, their supervisors, workers
//! of the former version, the owners and time, on the real database. Most operations are sets, as
//! `shared::batch` makes them. `predicted` runs them sequentially and compares them with a model.
//! `concurrent` runs them concurrently and checks the invariants. A worker remembers each run that it ever
//! held, so most of its writes are stale. A failover takes the database back to an earlier state, but no
//! worker.

mod carry_out;
mod concurrent;
mod model;
mod old;
mod predicted;
mod run;
mod saved;

use std::time::Duration;

use proptest::prelude::*;
use run_worker::leases::store::Claimed;
use shared::ids::{RunId, UserId};
use shared::runs::{Cancelled, Fence, Finished};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::pending_runs;

const WORKERS: usize = 3;
const USERS: usize = 2;
const RUNS_OF_A_USER: usize = 3;
const RUNS: usize = USERS * RUNS_OF_A_USER;
/// The plan's cap on running runs, less than [`RUNS_OF_A_USER`].
const CAP: i32 = 2;
const LEASE: Duration = Duration::from_secs(30);

/// A set of indices below 8. Of a worker's memory, which has no fixed length, a set names the latest runs.
#[derive(Debug, Clone, Copy)]
struct Indices(u8);

impl Indices {
    fn of(indices: &[usize]) -> Self {
        Self(indices.iter().fold(0, |set, index| set | 1 << index))
    }

    fn has(self, index: usize) -> bool {
        index < 8 && self.0 & (1 << index) != 0
    }

    fn below(self, end: usize) -> impl Iterator<Item = usize> {
        (0..end.min(8)).filter(move |index| self.has(*index))
    }
}

/// An operation. `held` are indices of the runs that the worker ever held, latest first.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// Claims so many runs of each user, for so many places.
    Claim {
        worker: usize,
        counts: [u32; USERS],
        places: u32,
        wait: bool,
    },
    TakeOver {
        worker: usize,
    },
    Append {
        worker: usize,
        held: Indices,
    },
    Beat {
        worker: usize,
    },
    Finish {
        worker: usize,
        held: Indices,
        well: bool,
    },
    GiveBack {
        worker: usize,
        held: usize,
    },
    /// The worker lost the answer of the claim or takeover that gave it this run.
    GiveClaimBack {
        worker: usize,
        held: usize,
    },
    /// A supervisor says that the worker is dead. It may be wrong.
    DeathNotice {
        worker: usize,
    },
    /// A worker of the former version claims. Its name is that of the new worker with this index.
    OldClaim {
        worker: usize,
        user: usize,
    },
    OldFinish {
        worker: usize,
        held: usize,
    },
    Cancel {
        run: usize,
    },
    /// The lease of a run expires. If it expired long ago, an isolated run no longer waits for a worker that
    /// holds nothing else.
    LeasePasses {
        run: usize,
        long_ago: bool,
    },
    /// A suspect has lived for longer than its probation, and an isolated run for longer than its isolation.
    RunLives {
        run: usize,
        isolation: bool,
    },
    /// The queue timeout of runs passes.
    QueueTimePasses {
        runs: Indices,
    },
    /// All that is committed now survives the next failover.
    Replicate,
    Failover,
}

impl Op {
    /// The index of the actor. The last index stands for the owners, the supervisors and time.
    fn actor(self) -> usize {
        match self {
            Self::Claim { worker, .. }
            | Self::TakeOver { worker }
            | Self::Append { worker, .. }
            | Self::Beat { worker }
            | Self::Finish { worker, .. }
            | Self::GiveBack { worker, .. }
            | Self::GiveClaimBack { worker, .. }
            | Self::OldClaim { worker, .. }
            | Self::OldFinish { worker, .. } => worker,
            _ => WORKERS,
        }
    }

    /// Whether it can run beside others. The old statements lock in another order, and lose deadlocks.
    fn is_concurrent(self) -> bool {
        !matches!(self, Self::OldClaim { .. } | Self::OldFinish { .. } | Self::Replicate | Self::Failover)
    }
}

fn op() -> impl Strategy<Value = Op> {
    let (worker, index, run) = (0..WORKERS, 0..3usize, 0..RUNS);
    let few =
        || prop_oneof![2 => (0..3u8).prop_map(|bit| Indices(1 << bit)), 1 => (1..8u8).prop_map(Indices)];
    let by = worker.clone();
    let claim = (by, proptest::array::uniform2(0..3u32), 1..4u32, any::<bool>())
        .prop_map(|(worker, counts, places, wait)| Op::Claim { worker, counts, places, wait });
    let one = (worker.clone(), index);
    prop_oneof![
        6 => claim,
        4 => worker.clone().prop_map(|worker| Op::TakeOver { worker }),
        6 => (worker.clone(), few()).prop_map(|(worker, held)| Op::Append { worker, held }),
        2 => worker.clone().prop_map(|worker| Op::Beat { worker }),
        4 => (worker.clone(), few(), any::<bool>())
            .prop_map(|(worker, held, well)| Op::Finish { worker, held, well }),
        2 => one.clone().prop_map(|(worker, held)| Op::GiveBack { worker, held }),
        1 => one.clone().prop_map(|(worker, held)| Op::GiveClaimBack { worker, held }),
        2 => worker.clone().prop_map(|worker| Op::DeathNotice { worker }),
        1 => (worker, 0..USERS).prop_map(|(worker, user)| Op::OldClaim { worker, user }),
        1 => one.prop_map(|(worker, held)| Op::OldFinish { worker, held }),
        1 => run.clone().prop_map(|run| Op::Cancel { run }),
        5 => (run.clone(), proptest::bool::weighted(0.2))
            .prop_map(|(run, long_ago)| Op::LeasePasses { run, long_ago }),
        2 => (run, any::<bool>()).prop_map(|(run, isolation)| Op::RunLives { run, isolation }),
        1 => proptest::collection::vec(0..RUNS, 1..3)
            .prop_map(|runs| Op::QueueTimePasses { runs: Indices::of(&runs) }),
        1 => Just(Op::Replicate),
        1 => Just(Op::Failover),
    ]
}

/// A run as a worker remembers it.
#[derive(Debug, Clone, Copy)]
struct Held {
    fence: Fence,
    last_seq: i64,
}

impl Held {
    fn of(claimed: &Claimed) -> Self {
        Self { fence: claimed.fence(), last_seq: claimed.last_seq }
    }

    /// Workers of the former version know no claims.
    fn is_old(&self) -> bool {
        self.fence.claim.is_nil()
    }
}

/// The runs that a worker remembers, latest first.
type Memory = Vec<Held>;

/// The result of an operation. Runs are in the order of their ids, other answers in the order of their items.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    /// The runs with their attempts and last events, and how many more each user could start.
    Claimed(Vec<(RunId, i32, i64)>, Vec<(UserId, u32)>),
    /// The runs with their attempts and losses.
    TookOver(Vec<(RunId, i32, i32)>),
    Wrote(Vec<bool>),
    Kept(Vec<RunId>),
    GaveBack(Vec<RunId>),
    Noticed(i64),
    Ended(Vec<Finished>),
    Cancelled(Cancelled),
    Nothing,
}

/// The users and their runs, in the order of their creation.
struct Stage {
    users: Vec<UserId>,
    runs: Vec<RunId>,
}

/// Makes users with pending runs whose queue timeout does not pass by itself.
async fn stage(database: &TestDatabase) -> Stage {
    for sql in ["TRUNCATE run_events", "TRUNCATE users CASCADE"] {
        database.run_sql(sql).await;
    }
    let mut stage = Stage { users: Vec::new(), runs: Vec::new() };
    for _ in 0..USERS {
        let (user, runs) = pending_runs(database, RUNS_OF_A_USER).await;
        stage.users.push(user);
        stage.runs.extend(runs);
    }
    database
        .run_sql("UPDATE runs SET created_at = created_at - interval '2 d', queue_timeout_seconds = 604800")
        .await;
    stage
}

/// Runs `check` with random sequences of at most `most` operations. Each operation has a new claim id.
fn over_sequences(
    cases: u32,
    most: usize,
    check: impl Fn(&TestDatabase, Vec<(Op, Uuid)>, &tokio::runtime::Runtime) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let sequences = proptest::collection::vec(op(), 1..most);
    let numbered = |ops: Vec<Op>| ops.into_iter().map(|op| (op, Uuid::new_v4())).collect();
    runner.run(&sequences, |ops| check(&database, numbered(ops), &runtime)).unwrap();
}
