//! Claims and takeovers.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use run_worker::leases::append::append;
use run_worker::leases::store::{Claimed, Wanted, claim, give_back};
use shared::testing::{TestDatabase, eventually};
use uuid::Uuid;

use crate::{LEASE, claim_one, claimant, pending_runs, take_over, user_message};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_keep_the_cap_and_take_the_oldest_runs() {
    const CAP: usize = 5;
    let database = TestDatabase::create().await;
    for round in 0..10 {
        let (user, ids) = pending_runs(&database, 20).await;
        // Opening a connection takes longer than a claim and would serialise the claims.
        let connections = join_all((0..10).map(|_| database.conn())).await;
        let claims = connections
            .into_iter()
            .map(|mut conn| async move { claim_one(&mut conn, &claimant("w", 5), user).await });
        let mut claimed: Vec<_> = join_all(claims).await.into_iter().flatten().map(|run| run.id).collect();
        claimed.sort();
        assert_eq!(claimed, ids[..CAP], "round {round}: exactly the cap, oldest first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_and_takeovers_carry_the_request_id() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 2).await;
    database
        .run_sql("UPDATE runs SET request_id = 'r-1' WHERE id = (SELECT id FROM runs ORDER BY id LIMIT 1)")
        .await;
    let mut conn = database.conn().await;
    let mut claimed = Vec::new();
    for _ in 0..2 {
        claimed.push(claim_one(&mut conn, &claimant("w", 5), user).await.unwrap());
    }
    assert_eq!(claimed[0].request_id.as_deref(), Some("r-1"));
    assert_eq!(claimed[1].request_id, None, "a gateway of the former version wrote none");
    assert!(give_back(&mut conn, claimed[0].fence()).await.unwrap());
    let taken = take_over(&mut conn, &claimant("other", 5), 5).await;
    assert_eq!(taken[0].request_id.as_deref(), Some("r-1"));
}

/// The claim must see the request id of a run that was committed while the claim waited for the user's lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waited_for_a_lock_carries_the_request_id() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 1).await;
    let (mut locker, mut conn) = (database.conn().await, database.conn().await);
    // On a busy machine the test may take long to see the wait.
    let lock = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
                SELECT 1 FROM user_slots FOR UPDATE";
    locker.batch_execute(lock).await.unwrap();
    conn.batch_execute("SET lock_timeout = 0").await.unwrap();
    let claiming = tokio::spawn(async move {
        let wanted = [Wanted { user, count: 2 }];
        claim(&mut conn, &claimant("w", 5), Uuid::new_v4(), &wanted, 2, true).await
    });
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock' AND query LIKE '%claim_runs_v2%'";
    eventually("the claim waits", async || (database.run_sql(waiting).await == 1).then_some(())).await;
    // A new row, which the snapshot of the waiting statement cannot hold.
    let insert = "INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object(
                      'id', gen_random_uuid(), 'created_at', capi_now(), 'request_id', 'late'))).*
                  FROM runs r";
    database.run_sql(insert).await;
    locker.batch_execute("COMMIT").await.unwrap();
    let mut claimed = claiming.await.unwrap().unwrap().runs;
    claimed.sort_by_key(|run| run.id != ids[0]);
    let request_ids: Vec<_> = claimed.iter().map(|run| run.request_id.as_deref()).collect();
    assert_eq!(request_ids, [None, Some("late")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expired_lease_is_taken_over_once_and_counts_as_a_loss() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 3).await;
    let mut conn = database.conn().await;
    let first = claimant("first", 10);
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.push(claim_one(&mut conn, &first, user).await.unwrap());
    }
    assert!(
        take_over(&mut conn, &claimant("second", 10), 10).await.is_empty(),
        "leases that have not expired stay"
    );
    assert!(give_back(&mut conn, claimed[0].fence()).await.unwrap());
    let given = take_over(&mut conn, &claimant("second", 10), 10).await;
    assert_eq!(
        given.iter().map(|run| (run.id, run.attempt, run.losses)).collect::<Vec<_>>(),
        [(ids[0], 2, 0)]
    );

    database
        .run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE lease_owner = 'first'")
        .await;
    let takers = (0..4).map(|number| {
        let database = &database;
        async move {
            let mut conn = database.conn().await;
            take_over(&mut conn, &claimant(&format!("t{number}"), 10), 1).await
        }
    });
    let mut taken: Vec<_> =
        join_all(takers).await.into_iter().flatten().map(|run| (run.id, run.attempt, run.losses)).collect();
    taken.sort();
    assert_eq!(taken, [(ids[1], 2, 1), (ids[2], 2, 1)], "one worker takes each run over");
}

/// Marks the runs of this worker as lost with it.
async fn lose(database: &TestDatabase, worker: &str) {
    let sql = format!(
        "UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE lease_owner = '{worker}'"
    );
    database.run_sql(sql).await;
}

/// Takes over as this worker. Returns the runs and their losses.
async fn take(database: &TestDatabase, worker: &str) -> Vec<Claimed> {
    take_over(&mut database.conn().await, &claimant(worker, 10), 10).await
}

/// R12: a worker holds one suspect, and a run on its last chance is alone.
#[tokio::test(flavor = "multi_thread")]
async fn suspects_are_taken_one_at_a_time_and_the_last_time_alone() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 3).await;
    let mut conn = database.conn().await;
    for _ in 0..3 {
        claim_one(&mut conn, &claimant("first", 10), user).await.unwrap();
    }
    lose(&database, "first").await;
    let one = take(&database, "second").await;
    assert_eq!(one.iter().map(|run| run.losses).collect::<Vec<_>>(), [1], "one of three suspects");
    assert!(take(&database, "second").await.is_empty(), "it holds a suspect");
    assert_eq!(take(&database, "third").await.len(), 1, "another worker takes the next one");

    // The suspect records a step, so its worker takes another one.
    let said = [user_message("a step")];
    assert!(append(&mut conn, one[0].fence(), one[0].last_seq, &said, LEASE).await.unwrap());
    assert_eq!(take(&database, "second").await.len(), 1);

    // After its probation a suspect that hangs blocks no other.
    lose(&database, "third").await;
    assert!(take(&database, "second").await.is_empty());
    database.run_sql("UPDATE run_events SET at = at - interval '1 min'").await;
    let again = take(&database, "second").await;
    assert!(again.is_empty(), "a second loss leaves one chance, and the worker holds other runs");
    let last = take(&database, "empty").await;
    assert_eq!(last.iter().map(|run| run.losses).collect::<Vec<_>>(), [2], "an empty worker takes it");

    // Nothing is taken beside it in the same statement, not even a run that was given back.
    lose(&database, "empty").await;
    database.run_sql("UPDATE runs SET losses = 1 WHERE lease_owner = 'empty'").await;
    let plain = one[0].fence();
    let given = "UPDATE runs SET lease_owner = NULL, lease_expires_at = capi_now() WHERE losses = 0";
    assert_eq!(database.run_sql(given).await, 1);
    let alone = take(&database, "idle").await;
    assert_eq!(alone.iter().map(|run| (run.id, run.losses)).collect::<Vec<_>>(), [(last[0].id, 2)]);
    assert_eq!(take(&database, "other").await[0].id, plain.run);
}

/// The last loss must lie within the isolation, or another run may be its cause.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_loss_in_isolation_is_the_last_one() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    claim_one(&mut conn, &claimant("w0", 10), user).await.unwrap();
    let losses = async |lost: &str, by: &str, alive_for: Duration| {
        // The worker was alone, renewed the lease for this time, and died.
        let ago = (alive_for + LEASE).as_secs() + 1;
        database.run_sql(format!("UPDATE run_events SET at = at - interval '{ago} s'")).await;
        let renewed = LEASE.as_secs() + 1;
        database.run_sql(format!("UPDATE runs SET counted_at = capi_now() - interval '{renewed} s'")).await;
        lose(&database, lost).await;
        take(&database, by).await[0].losses
    };
    assert_eq!(losses("w0", "w1", Duration::ZERO).await, 1);
    assert_eq!(losses("w1", "w2", Duration::ZERO).await, 2);
    assert_eq!(losses("w2", "w3", Duration::from_mins(1)).await, 2, "it died after the isolation");
    assert_eq!(losses("w3", "w4", Duration::from_mins(1)).await, 2, "also after twice the time");
    assert_eq!(losses("w4", "w5", Duration::from_mins(1)).await, 3, "the isolation is long enough now");
}

/// A fleet without an empty worker takes the run in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_its_last_chance_does_not_wait_for_ever() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 2).await;
    let mut conn = database.conn().await;
    claim_one(&mut conn, &claimant("first", 10), user).await.unwrap();
    claim_one(&mut conn, &claimant("busy", 10), user).await.unwrap();
    database.run_sql("UPDATE runs SET losses = 1 WHERE lease_owner = 'first'").await;
    lose(&database, "first").await;
    assert!(take(&database, "busy").await.is_empty());
    let long_ago = "UPDATE runs SET lease_expires_at = capi_now() - interval '2 h' WHERE losses = 1";
    database.run_sql(long_ago).await;
    assert_eq!(take(&database, "busy").await[0].losses, 2);
    // It was not alone, so this loss is not its last. But it may not end workers for ever.
    let lost = "UPDATE runs SET lease_owner = 'gone', lease_expires_at = capi_now() - interval '2 h'
                WHERE losses = 2";
    for attempt in 3..=6 {
        database.run_sql(lost).await;
        let again = take(&database, "busy").await;
        assert_eq!((again[0].losses, again[0].attempt), (2, attempt));
    }
    database.run_sql(lost).await;
    assert_eq!(take(&database, "busy").await[0].losses, 3);
    // A run without a chance is only recorded, so a busy worker takes it at once.
    let lost = "UPDATE runs SET lease_owner = NULL, lease_expires_at = capi_now() WHERE losses = 3";
    database.run_sql(lost).await;
    assert_eq!(take(&database, "busy").await[0].losses, 3);
}
