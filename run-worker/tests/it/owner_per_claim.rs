//! Each claim and each takeover has an id of its own. It fences writes after a failover, finds the runs of a
//! claim whose answer was lost, and a worker that is known to be dead loses its leases by its name.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use diesel_async::RunQueryDsl;
use run_worker::egress::HostLog;
use run_worker::leases::append::append;
use run_worker::leases::store::{
    Claimed, Renewed, Wanted, claim, end_leases_of, give_back, give_claim_back, record_cancel_release, renew,
};
use shared::config::LeaseConfig;
use shared::db::{Connection, statement};
use shared::runs::{Finished, RunEnd, RunResult, cancel, finish};
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::{LEASE, claim_one, claimant, pending_runs, take_over, user_message};

/// Checks that nothing this worker writes counts, and that its successor still holds the run.
async fn is_fenced(database: &TestDatabase, stale: &Claimed, successor: &Claimed) {
    let (mut conn, said) = (database.conn().await, [user_message("late")]);
    assert_eq!((stale.id, stale.attempt), (successor.id, successor.attempt), "only the claim differs");
    assert_eq!(renew(&mut conn, &[stale.fence()], LEASE).await.unwrap(), Renewed::default());
    assert!(!append(&mut conn, stale.fence(), successor.last_seq, &said, LEASE).await.unwrap());
    let end = RunEnd::Completed(RunResult::default());
    assert_eq!(finish(&mut conn, stale.fence(), &[], &end).await.unwrap(), Finished::Fenced);
    assert!(!give_back(&mut conn, stale.fence()).await.unwrap());
    let lease = LeaseConfig { lease_seconds: 30 };
    let hosts = HostLog::new(database.db.clone(), lease, stale.fence(), BTreeSet::new());
    assert!(hosts.begin("a.example").await.is_err());
    let renewed = renew(&mut conn, &[stale.fence(), successor.fence()], LEASE).await.unwrap();
    assert_eq!(renewed.kept, HashSet::from([successor.id]));
    assert!(append(&mut conn, successor.fence(), successor.last_seq, &said, LEASE).await.unwrap());
}

/// Makes the database as it was before the claims, like a failover to a standby that was behind.
async fn lose_transactions(conn: &mut Connection) {
    let pending = "UPDATE runs SET status = 'pending', attempt = 0, last_seq = 1, started_at = NULL,
                   lease_owner = NULL, lease_claim = NULL, lease_expires_at = NULL";
    for sql in [pending, "DELETE FROM run_events WHERE seq > 1"] {
        statement(sql).execute(conn).await.unwrap();
    }
}

/// runs.md 2: after a failover the same attempt is given twice.
#[tokio::test(flavor = "multi_thread")]
async fn after_lost_transactions_only_the_later_claim_may_write() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, _) = pending_runs(&database, 1).await;
    let lost = claim_one(&mut conn, &claimant("a", 5), user).await.unwrap();
    lose_transactions(&mut conn).await;
    let kept = claim_one(&mut conn, &claimant("b", 5), user).await.unwrap();
    is_fenced(&database, &lost, &kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_takeover_only_the_later_takeover_may_write() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, _) = pending_runs(&database, 1).await;
    let first = claim_one(&mut conn, &claimant("a", 5), user).await.unwrap();
    let expire = "UPDATE runs SET lease_expires_at = capi_now() - interval '1 s'";
    database.run_sql(expire).await;
    let lost = take_over(&mut conn, &claimant("b", 5), 1).await.remove(0);
    let before = format!(
        "UPDATE runs SET attempt = 1, last_seq = 2, lease_owner = 'a', lease_claim = '{}', losses = 0",
        first.lease_claim
    );
    database.run_sql(before).await;
    database.run_sql("DELETE FROM run_events WHERE seq > 2").await;
    database.run_sql(expire).await;
    let kept = take_over(&mut conn, &claimant("c", 5), 1).await.remove(0);
    is_fenced(&database, &lost, &kept).await;
    cancel(&mut conn, user, None, kept.id).await.unwrap();
    assert_eq!(record_cancel_release(&mut conn, lost.fence()).await.unwrap(), None);
    assert!(record_cancel_release(&mut conn, kept.fence()).await.unwrap().is_some());
}

/// runs.md 15: the worker knows only the id of the claim.
#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_claim_without_an_answer_are_given_back_without_a_loss() {
    let database = TestDatabase::create().await;
    let (mut conn, by, in_doubt) = (database.conn().await, claimant("a", 5), Uuid::new_v4());
    let (user, runs) = pending_runs(&database, 3).await;
    drop(claim(&mut conn, &by, in_doubt, &[Wanted { user, count: 2 }], 2, true).await.unwrap());
    let other = claim_one(&mut conn, &by, user).await.unwrap();
    assert!(give_claim_back(&mut conn, "b", in_doubt).await.unwrap().is_empty());
    let mut given = give_claim_back(&mut conn, "a", in_doubt).await.unwrap();
    given.sort();
    assert_eq!(given, runs[..2]);
    assert!(give_claim_back(&mut conn, "a", in_doubt).await.unwrap().is_empty());
    let taken = take_over(&mut conn, &claimant("b", 5), 5).await;
    assert_eq!(taken.iter().map(|run| (run.attempt, run.losses)).collect::<Vec<_>>(), [(2, 0), (2, 0)]);
    assert_eq!(renew(&mut conn, &[other.fence()], LEASE).await.unwrap().kept, HashSet::from([other.id]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leases_of_a_dead_worker_end_at_once_as_losses() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, runs) = pending_runs(&database, 2).await;
    claim_one(&mut conn, &claimant("dead", 5), user).await.unwrap();
    let alive = claim_one(&mut conn, &claimant("alive", 5), user).await.unwrap();
    assert_eq!(end_leases_of(&mut conn, "dead").await.unwrap(), 1);
    assert_eq!(end_leases_of(&mut conn, "dead").await.unwrap(), 0);
    let taken = take_over(&mut conn, &claimant("next", 5), 5).await;
    assert_eq!(taken.iter().map(|run| (run.id, run.losses)).collect::<Vec<_>>(), [(runs[0], 1)]);
    assert_eq!(end_leases_of(&mut conn, "dead").await.unwrap(), 0, "a late report changes nothing");
    let both = [taken[0].fence(), alive.fence()];
    assert_eq!(renew(&mut conn, &both, LEASE).await.unwrap().kept, HashSet::from_iter(runs));
}

/// A lease that ended by a report says exactly when the worker died: here after the isolation.
#[tokio::test(flavor = "multi_thread")]
async fn a_reported_death_after_the_isolation_is_not_the_last_loss() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    for (ago, losses) in [(15, 3), (25, 2)] {
        database.run_sql("TRUNCATE runs CASCADE").await;
        let (user, _) = pending_runs(&database, 1).await;
        claim_one(&mut conn, &claimant("w0", 5), user).await.unwrap();
        for (dead, next) in [("w0", "w1"), ("w1", "w2")] {
            assert_eq!(end_leases_of(&mut conn, dead).await.unwrap(), 1);
            assert_eq!(take_over(&mut conn, &claimant(next, 5), 1).await.len(), 1);
        }
        // The isolation takes 20 s. The run renewed its lease until now.
        database.run_sql(format!("UPDATE run_events SET at = at - interval '{ago} s'")).await;
        assert_eq!(end_leases_of(&mut conn, "w2").await.unwrap(), 1);
        assert_eq!(take_over(&mut conn, &claimant("w3", 5), 1).await[0].losses, losses, "{ago} s");
    }
}

/// runs.md 11: only the time in which a worker worked counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_between_two_attempts_does_not_count() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, _) = pending_runs(&database, 1).await;
    // Real time counts too, and a busy machine takes more of it.
    let begun = Instant::now();
    let at_most = |seconds: f64| seconds + begun.elapsed().as_secs_f64();
    let first = claim_one(&mut conn, &claimant("a", 5), user).await.unwrap();
    assert!(first.seconds_used < 0.1);
    let earlier = "UPDATE runs SET counted_at = counted_at - interval '10 s'";
    database.run_sql(earlier).await;
    renew(&mut conn, &[first.fence()], LEASE).await.unwrap();
    // The worker dies, and no other one is there for an hour.
    database
        .run_sql("UPDATE runs SET counted_at = counted_at - interval '1 h', lease_expires_at = counted_at")
        .await;
    let second = take_over(&mut conn, &claimant("b", 5), 1).await.remove(0);
    assert!((10.0..at_most(10.0)).contains(&second.seconds_used), "{}", second.seconds_used);
    database.run_sql(earlier).await;
    assert!(give_back(&mut conn, second.fence()).await.unwrap());
    let third = take_over(&mut conn, &claimant("c", 5), 1).await.remove(0);
    assert!((20.0..at_most(20.0)).contains(&third.seconds_used), "{}", third.seconds_used);
    // A jump of the clock counts as one lease at most.
    database.run_sql("UPDATE runs SET counted_at = counted_at - interval '1 d'").await;
    database
        .run_sql("UPDATE runs SET lease_expires_at = counted_at + interval '30 s' WHERE status = 'running'")
        .await;
    renew(&mut conn, &[third.fence()], LEASE).await.unwrap();
    assert!(give_back(&mut conn, third.fence()).await.unwrap());
    let fourth = take_over(&mut conn, &claimant("d", 5), 1).await.remove(0);
    assert!((50.0..at_most(50.0)).contains(&fourth.seconds_used), "{}", fourth.seconds_used);

    // A worker of the former version has no claim and counts nothing. Its lease tells.
    database
        .run_sql("UPDATE runs SET lease_owner = 'old', lease_expires_at = capi_now() - interval '40 s'")
        .await;
    database.run_sql("UPDATE runs SET counted_at = lease_expires_at - interval '60 s'").await;
    let fifth = take_over(&mut conn, &claimant("e", 5), 1).await.remove(0);
    assert!((80.0..at_most(80.0)).contains(&fifth.seconds_used), "{}", fifth.seconds_used);
}
