//! Each write of a set gets the answer that it would get alone, whatever its neighbours are.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use run_worker::leases::append::{Append, Appending};
use run_worker::leases::store::Claimed;
use shared::batch::Batch;
use shared::config::Quotas;
use shared::db::{Connection, DbError, statement};
use shared::ids::ArtifactId;
use shared::runs::events::{EventData, PublishedArtifact};
use shared::runs::{End, ErrorCode, Fence, Finished, Finishing, RunEnd, RunError, RunResult, cancel};
use shared::testing::TestDatabase;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{check_rows, claim_all};
use crate::{LEASE, pending_runs, user_message};

const USERS: usize = 3;
const RUNS_EACH: usize = 3;
/// No artifact fits.
const NOTHING_FITS: Quotas = Quotas {
    max_pending_runs: None,
    max_stored_bytes: Some(1),
    max_request_bytes_per_day: None,
    max_tokens_per_day: Some(1_000_000),
};

/// One write of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    OldAttempt,
    OldClaim,
    /// The log is longer.
    KnowsLess,
    /// PostgreSQL refuses a NUL.
    Nul,
    /// An artifact that exceeds the quota.
    TooLarge,
}

/// What happens to a run before the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    Cancelled,
    Deleted,
    /// Another transaction has locked the row, and lets it go later.
    Locked,
}

fn writes() -> impl Strategy<Value = Vec<(usize, Kind)>> {
    let kind = prop_oneof![
        6 => Just(Kind::Good),
        1 => Just(Kind::OldAttempt),
        1 => Just(Kind::OldClaim),
        1 => Just(Kind::KnowsLess),
        1 => Just(Kind::Nul),
        1 => Just(Kind::TooLarge),
    ];
    proptest::collection::vec((0..USERS * RUNS_EACH, kind), 1..24)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Held),
        1 => Just(Fate::Cancelled),
        1 => Just(Fate::Deleted),
        1 => Just(Fate::Locked),
    ];
    proptest::collection::vec(fate, USERS * RUNS_EACH)
}

fn over_sets(check: impl Fn(&TestDatabase, Vec<(usize, Kind)>, Vec<Fate>, &Runtime)) {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let tried = runner.run(&(writes(), fates()), |(writes, fates)| {
        check(&database, writes, fates, &runtime);
        Ok(())
    });
    tried.unwrap();
}

/// Claims all runs of new users, and lets happen to them what is their fate. The connection holds the locks.
async fn stage(database: &TestDatabase, fates: &[Fate]) -> (Vec<Claimed>, Connection) {
    let mut runs = Vec::new();
    for _ in 0..USERS {
        let (user, _) = pending_runs(database, RUNS_EACH).await;
        runs.extend(claim_all(database, user, 3).await);
    }
    let (mut conn, mut locking) = (database.conn().await, database.conn().await);
    statement("BEGIN").execute(&mut locking).await.unwrap();
    for (run, fate) in runs.iter().zip(fates) {
        let on = async |conn: &mut Connection, sql: &'static str| {
            let sql = statement(sql).bind::<SqlUuid, _>(run.id.uuid());
            sql.execute(conn).await.unwrap();
        };
        match fate {
            Fate::Held => {}
            Fate::Cancelled => {
                let _ = cancel(&mut conn, run.user_id, None, run.id).await.unwrap();
            }
            Fate::Deleted => {
                let _ = cancel(&mut conn, run.user_id, None, run.id).await.unwrap();
                on(&mut conn, "DELETE FROM webhook_deliveries WHERE run_id = $1").await;
                on(&mut conn, "DELETE FROM run_events WHERE run_id = $1").await;
                on(&mut conn, "DELETE FROM runs WHERE id = $1").await;
            }
            Fate::Locked => on(&mut locking, "SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE").await,
        }
    }
    (runs, locking)
}

/// The fence and the number of the last event, as the writer of this kind believes.
fn known(run: &Claimed, kind: Kind) -> (Fence, i64) {
    let fence = run.fence();
    match kind {
        Kind::OldAttempt => (Fence { attempt: fence.attempt - 1, ..fence }, run.last_seq),
        Kind::OldClaim => (Fence { claim: Uuid::now_v7(), ..fence }, run.last_seq),
        Kind::KnowsLess => (fence, run.last_seq - 1),
        Kind::Good | Kind::Nul | Kind::TooLarge => (fence, run.last_seq),
    }
}

/// Releases the locks when the set has surely met them.
async fn release(mut locking: Connection) {
    tokio::time::sleep(Duration::from_millis(30)).await;
    statement("ROLLBACK").execute(&mut locking).await.unwrap();
}

/// Checks the answers: a stale write changes nothing, a poisoned one fails alone, and of several good writes
/// for the same number exactly one counts. Returns the runs that were written.
fn check_answers<Answer: Debug>(
    writes: &[(usize, Kind)],
    fates: &[Fate],
    answers: &[Result<Answer, DbError>],
    counts: impl Fn(&Answer) -> bool,
) -> Vec<usize> {
    let mut written = Vec::new();
    for ((run, kind), answer) in writes.iter().zip(answers) {
        let context = format!("{kind:?} on a run that is {:?}: {answer:?}", fates[*run]);
        let is_held = matches!(fates[*run], Fate::Held | Fate::Locked);
        match kind {
            Kind::Nul => assert!(answer.as_ref().is_err_and(|error| !error.is_outage()), "{context}"),
            // A stale write does not meet the quota, nor does one that comes second.
            Kind::TooLarge => match answer {
                Ok(answer) => assert!(!counts(answer), "{context}"),
                Err(error) => assert!(is_held && error.is_over_quota(), "{context}"),
            },
            _ => {
                let counted = counts(answer.as_ref().unwrap_or_else(|error| panic!("{context}: {error}")));
                assert!(!counted || (is_held && *kind == Kind::Good), "{context}");
                if counted {
                    written.push(*run);
                }
            }
        }
    }
    for (run, fate) in fates.iter().enumerate() {
        let good = writes.contains(&(run, Kind::Good)) && matches!(fate, Fate::Held | Fate::Locked);
        let count = written.iter().filter(|written| **written == run).count();
        assert_eq!(count, usize::from(good), "run {run}, {fate:?}: {writes:?}");
    }
    written
}

fn artifact() -> EventData {
    EventData::Artifact(PublishedArtifact {
        id: ArtifactId::generate(),
        media_type: "text/plain".to_owned(),
        title: "a.txt".to_owned(),
        size: 7,
        sha256: "00".repeat(32),
    })
}

#[test]
fn each_step_of_a_set_gets_its_own_answer() {
    over_sets(|database, writes, fates, runtime| {
        runtime.block_on(async {
            let (runs, locking) = stage(database, &fates).await;
            let appends = Batch::start("append", 100, Appending::new(database.db.clone(), LEASE));
            let calls = writes.iter().map(|(run, kind)| {
                let (fence, after) = known(&runs[*run], *kind);
                let event = match kind {
                    Kind::Nul => user_message("\0"),
                    Kind::TooLarge => artifact(),
                    _ => user_message("step"),
                };
                let events = vec![user_message("first"), event];
                appends.call(Arc::new(Append { fence, after, events, quotas: NOTHING_FITS }))
            });
            let (answers, ()) = join(join_all(calls), release(locking)).await;
            let written = check_answers(&writes, &fates, &answers, |written| *written);
            check_rows(database).await;
            let ids: Vec<_> = runs.iter().map(|run| run.id.uuid()).collect();
            let messages = statement("SELECT 1 FROM run_events WHERE run_id = ANY ($1) AND type = 'message'")
                .bind::<Array<SqlUuid>, _>(ids)
                .execute(&mut database.conn().await)
                .await
                .unwrap();
            assert_eq!(messages, 2 * written.len());
        });
    });
}

#[test]
fn each_end_of_a_set_gets_its_own_answer() {
    over_sets(|database, writes, fates, runtime| {
        runtime.block_on(async {
            let (runs, locking) = stage(database, &fates).await;
            let ends = Batch::start("finish", 100, Finishing::new(database.db.clone()));
            let calls = writes.iter().map(|(run, kind)| {
                let (fence, after) = known(&runs[*run], *kind);
                let text = if *kind == Kind::Nul { "\0" } else { "done" };
                let end = match kind {
                    // An end has no quota that refuses it.
                    Kind::TooLarge => RunEnd::Lost(RunError::new(ErrorCode::WorkerLost, "why", None)),
                    _ => RunEnd::Completed(RunResult { text: text.to_owned(), ..RunResult::default() }),
                };
                let last_events = vec![user_message("last")];
                ends.call(Arc::new(End { fence, after, last_events, end, quotas: NOTHING_FITS }))
            });
            let (answers, ()) = join(join_all(calls), release(locking)).await;
            let writes: Vec<_> = writes
                .iter()
                .map(|(run, kind)| (*run, if *kind == Kind::TooLarge { Kind::Good } else { *kind }))
                .collect();
            check_answers(&writes, &fates, &answers, |finished| *finished != Finished::Fenced);
            check_rows(database).await;
        });
    });
}
