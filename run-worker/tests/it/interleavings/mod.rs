//! Random interleavings of all operations that change a run, by several workers, its owner and time, on the
//! real database. `predicted` runs them sequentially and compares them with a model. `concurrent` runs them
//! concurrently and checks the invariants. A worker remembers each run that it ever held, so most of its
//! writes are stale.

mod concurrent;
mod model;
mod predicted;

use std::time::Duration;

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use proptest::prelude::*;
use run_worker::leases::append::append;
use run_worker::leases::store::{Claimant, Claimed, give_back, renew};
use shared::db::{Connection, statement};
use shared::ids::{RunId, UserId};
use shared::runs::{
    Cancelled, ErrorCode, Fence, Finished, RunEnd, RunError, RunResult, cancel, expire, finish,
};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::{claim_one, claimant, pending_runs, take_over, user_message};

const WORKERS: usize = 3;
const RUNS: usize = 4;
/// The plan's cap on running runs, less than [`RUNS`].
const CAP: i32 = 2;
const LEASE: Duration = Duration::from_secs(30);

/// An operation. `held` is the index of a run among all runs that the worker ever held.
#[derive(Debug, Clone, Copy)]
enum Op {
    Claim {
        worker: usize,
    },
    TakeOver {
        worker: usize,
    },
    Append {
        worker: usize,
        held: usize,
    },
    Beat {
        worker: usize,
    },
    Finish {
        worker: usize,
        held: usize,
        well: bool,
    },
    GiveBack {
        worker: usize,
        held: usize,
    },
    Cancel {
        run: usize,
    },
    /// The lease of a run expires.
    LeasePasses {
        run: usize,
    },
    /// The queue timeout of a run passes.
    QueueTimePasses {
        run: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (worker, held, run) = (0..WORKERS, 0..3usize, 0..RUNS);
    prop_oneof![
        4 => worker.clone().prop_map(|worker| Op::Claim { worker }),
        3 => worker.clone().prop_map(|worker| Op::TakeOver { worker }),
        5 => (worker.clone(), held.clone()).prop_map(|(worker, held)| Op::Append { worker, held }),
        2 => worker.clone().prop_map(|worker| Op::Beat { worker }),
        3 => (worker.clone(), held.clone(), any::<bool>())
            .prop_map(|(worker, held, well)| Op::Finish { worker, held, well }),
        2 => (worker, held).prop_map(|(worker, held)| Op::GiveBack { worker, held }),
        1 => run.clone().prop_map(|run| Op::Cancel { run }),
        4 => run.clone().prop_map(|run| Op::LeasePasses { run }),
        1 => run.prop_map(|run| Op::QueueTimePasses { run }),
    ]
}

/// A run as a worker remembers it.
#[derive(Debug, Clone, Copy)]
struct Held {
    run: RunId,
    attempt: i32,
    claim: Uuid,
    last_seq: i64,
}

impl Held {
    fn of(claimed: &Claimed) -> Self {
        let Fence { run, attempt, claim } = claimed.fence();
        Self { run, attempt, claim, last_seq: claimed.last_seq }
    }

    fn fence(&self) -> Fence {
        Fence { run: self.run, attempt: self.attempt, claim: self.claim }
    }
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    Claimed(Option<(RunId, i32, i64)>),
    TookOver(Vec<(RunId, i32, i32)>),
    Wrote(bool),
    Kept(Vec<RunId>),
    Cancelled(Cancelled),
    Nothing,
}

/// The runs that a worker remembers, latest first.
type Memory = Vec<Held>;

/// Makes a user with pending runs whose queue timeout does not pass by itself.
async fn stage(database: &TestDatabase) -> (UserId, Vec<RunId>) {
    database.run_sql("TRUNCATE run_events").await;
    database.run_sql("TRUNCATE runs CASCADE").await;
    let made = pending_runs(database, RUNS).await;
    database
        .run_sql("UPDATE runs SET created_at = created_at - interval '2 d', queue_timeout_seconds = 604800")
        .await;
    made
}

async fn run_sql(conn: &mut Connection, sql: &'static str, run: RunId) {
    statement(sql).bind::<SqlUuid, _>(run.uuid()).execute(conn).await.unwrap();
}

/// Runs the operation on the database.
async fn carry_out(conn: &mut Connection, user: UserId, ids: &[RunId], memory: &mut Memory, op: Op) -> Did {
    // The probation of a suspect follows the lease. It must be longer than the test.
    let lease = Duration::from_hours(1);
    let by = |worker: usize| Claimant { lease, ..claimant(&format!("w{worker}"), CAP) };
    match op {
        Op::Claim { worker } => {
            let claimed = claim_one(conn, &by(worker), user).await;
            memory.splice(0..0, claimed.iter().map(Held::of));
            Did::Claimed(claimed.map(|run| (run.id, run.attempt, run.last_seq)))
        }
        Op::TakeOver { worker } => {
            let mut taken = take_over(conn, &by(worker), 10).await;
            taken.sort_by_key(|run| run.id);
            memory.splice(0..0, taken.iter().map(Held::of));
            Did::TookOver(taken.iter().map(|run| (run.id, run.attempt, run.losses)).collect())
        }
        Op::Append { held, .. } => {
            let Some(held) = memory.get_mut(held) else { return Did::Nothing };
            let said = [user_message(&format!("attempt {}", held.attempt))];
            let wrote = append(conn, held.fence(), held.last_seq, &said, LEASE).await.unwrap();
            // Repeat the append, like a worker whose answer was lost.
            let again = wrote && append(conn, held.fence(), held.last_seq, &said, LEASE).await.unwrap();
            assert!(!again, "the same step must not be recorded twice");
            held.last_seq += i64::from(wrote);
            Did::Wrote(wrote)
        }
        Op::Beat { .. } => {
            let fences: Vec<_> = memory.iter().map(Held::fence).collect();
            let renewed = renew(conn, &fences, LEASE).await.unwrap();
            let mut kept: Vec<_> = renewed.kept.into_iter().collect();
            kept.sort();
            Did::Kept(kept)
        }
        Op::Finish { held, well, .. } => {
            let Some(held) = memory.get(held) else { return Did::Nothing };
            let error = RunError::new(ErrorCode::InternalError, "why", None);
            let ended =
                if well { RunEnd::Completed(RunResult::default()) } else { RunEnd::Failed(error, None) };
            Did::Wrote(finish(conn, held.fence(), &[], &ended).await.unwrap() != Finished::Fenced)
        }
        Op::GiveBack { held, .. } => {
            let Some(held) = memory.get(held) else { return Did::Nothing };
            Did::Wrote(give_back(conn, held.fence()).await.unwrap())
        }
        Op::Cancel { run } => match cancel(conn, user, None, ids[run]).await.unwrap() {
            Cancelled::Done { held, .. } => {
                Did::Cancelled(Cancelled::Done { lane: None, held, startable: 0 })
            }
            other => Did::Cancelled(other),
        },
        Op::LeasePasses { run } => {
            let sql = "UPDATE runs SET lease_expires_at = capi_now() - interval '1 min'
                       WHERE id = $1 AND status = 'running'";
            run_sql(conn, sql, ids[run]).await;
            Did::Nothing
        }
        Op::QueueTimePasses { run } => {
            run_sql(conn, "UPDATE runs SET queue_timeout_seconds = 1 WHERE id = $1", ids[run]).await;
            Did::Wrote(expire(conn, ids[run]).await.unwrap() != Finished::Fenced)
        }
    }
}

/// Returns the index of the actor. The last index stands for the owner and for time.
fn actor(op: Op) -> usize {
    match op {
        Op::Claim { worker }
        | Op::TakeOver { worker }
        | Op::Append { worker, .. }
        | Op::Beat { worker }
        | Op::Finish { worker, .. }
        | Op::GiveBack { worker, .. } => worker,
        Op::Cancel { .. } | Op::LeasePasses { .. } | Op::QueueTimePasses { .. } => WORKERS,
    }
}

/// Runs `check` with random sequences of at most `most` operations.
fn over_sequences(
    cases: u32,
    most: usize,
    check: impl Fn(&TestDatabase, Vec<Op>, &tokio::runtime::Runtime) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&proptest::collection::vec(op(), 1..most), |ops| check(&database, ops, &runtime)).unwrap();
}
