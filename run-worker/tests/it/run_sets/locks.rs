//! Sets and the locks that others hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::{join, join_all};
use shared::batch::SetCall;
use shared::config::Quotas;
use shared::db::statement;
use shared::runs::{End, Finished, Finishing, cancel};
use shared::testing::{TestDatabase, eventually};

use super::{check_rows, claim_all, completed};
use crate::{answer, pending_runs};

/// Sets of several processes hold runs of the same users, in other orders, beside claims.
#[tokio::test(flavor = "multi_thread")]
async fn sets_of_the_same_users_neither_deadlock_nor_miscount() {
    let database = TestDatabase::create().await;
    let mut processes = [Vec::new(), Vec::new(), Vec::new()];
    let mut users = Vec::new();
    for _ in 0..8 {
        let (user, _) = pending_runs(&database, 24).await;
        users.push(user);
        for (index, run) in claim_all(&database, user, 18).await.into_iter().enumerate() {
            processes[index % 3].push(run);
        }
    }
    processes[1].reverse();
    let finishing = processes.iter().map(async |runs| {
        let finishing = Finishing::new(database.db.clone());
        for runs in runs.chunks(16) {
            let ends: Vec<_> = runs.iter().map(completed).collect();
            let answers = finishing.together(&ends).await.unwrap();
            for (end, answer) in ends.iter().zip(answers) {
                let done = match answer {
                    Some(done) => done,
                    None => finishing.alone(end).await.unwrap(),
                };
                assert!(matches!(done, Finished::Done { lane: Some(_), .. }), "{done:?}");
            }
        }
    });
    let claiming = async {
        for user in users.iter().rev() {
            claim_all(&database, *user, 2).await;
        }
    };
    join(join_all(finishing), claiming).await;
    check_rows(&database).await;
    assert_eq!(database.run_sql("SELECT 1 FROM runs WHERE status = 'completed'").await, 8 * 18);
    assert_eq!(database.run_sql("SELECT 1 FROM webhook_lanes").await, 8, "one lane for each user");
}

/// A slot that is locked for long delays the ends of its user only.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_slot_holds_up_no_other_user() {
    let database = TestDatabase::create().await;
    let (stuck, _) = pending_runs(&database, 1).await;
    let (free, _) = pending_runs(&database, 1).await;
    let mut runs = claim_all(&database, stuck, 1).await;
    runs.extend(claim_all(&database, free, 1).await);
    let mut locking = database.conn().await;
    statement("BEGIN").execute(&mut locking).await.unwrap();
    let lock = statement("SELECT 1 FROM user_slots WHERE user_id = $1 FOR UPDATE");
    lock.bind::<SqlUuid, _>(stuck.uuid()).execute(&mut locking).await.unwrap();
    let ends: Vec<_> = runs.iter().map(completed).collect();
    let answers = Finishing::new(database.db.clone()).together(&ends).await.unwrap();
    assert_eq!(answers[0], None);
    assert!(matches!(answers[1], Some(Finished::Done { user, .. }) if user == free), "{answers:?}");
    statement("ROLLBACK").execute(&mut locking).await.unwrap();
}

/// In the usual set all ends are of one user.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_one_user_whose_slot_is_locked_ends_nothing() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 3).await;
    let runs = claim_all(&database, user, 2).await;
    let mut locking = database.conn().await;
    statement("BEGIN").execute(&mut locking).await.unwrap();
    statement("SELECT 1 FROM user_slots FOR UPDATE").execute(&mut locking).await.unwrap();
    let ends: Vec<_> = runs.iter().map(completed).collect();
    let finishing = Finishing::new(database.db.clone());
    assert_eq!(finishing.together(&ends).await.unwrap(), [None, None]);
    statement("ROLLBACK").execute(&mut locking).await.unwrap();
    check_rows(&database).await;
    let done = finishing.alone(&ends[0]).await.unwrap();
    assert!(matches!(done, Finished::Done { startable: 1, .. }), "{done:?}");
}

/// A set that skips locks holds the slots of its users, so it must not wait for an account's row either.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_skips_locks_does_not_wait_for_an_account() {
    let database = TestDatabase::create().await;
    let (stuck, _) = pending_runs(&database, 1).await;
    let (counted, _) = pending_runs(&database, 1).await;
    let mut runs = claim_all(&database, stuck, 1).await;
    runs.extend(claim_all(&database, counted, 1).await);
    let mut locking = database.conn().await;
    statement("BEGIN").execute(&mut locking).await.unwrap();
    for (lock, user) in [
        ("SELECT 1 FROM user_slots WHERE user_id = $1 FOR UPDATE", stuck),
        ("SELECT lock_account_use_v1($1)", counted),
    ] {
        statement(lock).bind::<SqlUuid, _>(user.uuid()).execute(&mut locking).await.unwrap();
    }
    let quotas = Quotas { max_tokens_per_day: Some(1000), ..Quotas::default() };
    let last_events = vec![answer("done")];
    let end = End { quotas, last_events, ..(*completed(&runs[1])).clone() };
    let ends = [completed(&runs[0]), Arc::new(end)];
    let finishing = Finishing::new(database.db.clone());
    // The first call may also open a connection, and it makes the plan.
    assert!(finishing.together(&ends).await.is_err());
    let started = Instant::now();
    let error = finishing.together(&ends).await.unwrap_err();
    assert!(error.is_lock_timeout(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    statement("ROLLBACK").execute(&mut locking).await.unwrap();
    check_rows(&database).await;
}

/// Of several ends of a user, only the first one says how many runs may start in the free places.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_tells_how_many_runs_may_start_in_its_place() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 5).await;
    let runs = claim_all(&database, user, 3).await;
    let finishing = Finishing::new(database.db.clone());
    let startable = |answers: Vec<Option<Finished>>| -> Vec<u32> {
        let number = |answer: Option<Finished>| match answer {
            Some(Finished::Done { startable, .. }) => startable,
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(number).collect()
    };
    let ends: Vec<_> = runs.iter().map(completed).collect();
    let answers = finishing.together(&ends).await.unwrap();
    assert_eq!(startable(answers), [2, 0, 0], "two runs are pending");
    let last = claim_all(&database, user, 2).await;
    let done = finishing.alone(&completed(&last[0])).await.unwrap();
    assert_eq!(startable(vec![Some(done)]), [0], "none is pending");
}

/// A cancel is one statement. While another session waits in it for a lock, no transaction of the caller is
/// open, and the run's user may be nudged for the place.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_needs_no_second_message_of_its_process() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 2).await;
    claim_all(&database, user, 1).await;
    let mut locking = database.conn().await;
    // On a busy machine the test may take long to see the wait.
    let lock = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
                LOCK TABLE run_events IN SHARE MODE";
    locking.batch_execute(lock).await.unwrap();
    let run = ids[0];
    let mut conn = database.conn().await;
    conn.batch_execute("SET lock_timeout = 0").await.unwrap();
    let cancelling = tokio::spawn(async move { cancel(&mut conn, user, None, run).await });
    eventually("the cancel waits", async || {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                       AND wait_event_type = 'Lock' AND query LIKE '%cancel_run_v1%'";
        (database.run_sql(waiting).await == 1).then_some(())
    })
    .await;
    // Like a process that is suspended: it reads no answer any more.
    cancelling.abort();
    statement("ROLLBACK").execute(&mut locking).await.unwrap();
    eventually("the run is cancelled", async || {
        (database.run_sql("SELECT 1 FROM runs WHERE status = 'cancelled'").await == 1).then_some(())
    })
    .await;
    let open = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                AND state LIKE 'idle in transaction%'";
    assert_eq!(database.run_sql(open).await, 0);
    check_rows(&database).await;
}
