//! Claims and takeovers.

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use run_worker::leases::store::{claim, give_back, take_over};
use shared::testing::{TestDatabase, eventually};

use crate::{claimant, pending_runs};

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
            .map(|mut conn| async move { claim(&mut conn, &claimant("w", 5), user).await.unwrap() });
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
        claimed.push(claim(&mut conn, &claimant("w", 5), user).await.unwrap().unwrap());
    }
    assert_eq!(claimed[0].request_id.as_deref(), Some("r-1"));
    assert_eq!(claimed[1].request_id, None, "a gateway of the former version wrote none");
    assert!(give_back(&mut conn, claimed[0].fence()).await.unwrap());
    let taken = take_over(&mut conn, &claimant("other", 5), 5).await.unwrap();
    assert_eq!(taken[0].request_id.as_deref(), Some("r-1"));
}

/// The claim must see the request id of a run that was committed while the claim waited for the user's lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waited_for_a_lock_carries_the_request_id() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 1).await;
    database.run_sql("UPDATE runs SET status = 'cancelled', completed_at = capi_now()").await;
    let (mut locker, mut conn) = (database.conn().await, database.conn().await);
    locker.batch_execute("BEGIN; SELECT 1 FROM user_slots FOR UPDATE").await.unwrap();
    let claiming = tokio::spawn(async move { claim(&mut conn, &claimant("w", 5), user).await });
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock' AND query LIKE '%claim_run_v1%'";
    eventually("the claim waits", async || (database.run_sql(waiting).await == 1).then_some(())).await;
    // A new row, which the snapshot of the waiting statement cannot hold.
    let insert = "INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object(
                      'id', gen_random_uuid(), 'status', 'pending', 'completed_at', null,
                      'request_id', 'late'))).* FROM runs r";
    database.run_sql(insert).await;
    locker.batch_execute("COMMIT").await.unwrap();
    let claimed = claiming.await.unwrap().unwrap().unwrap();
    assert_ne!(claimed.id, ids[0]);
    assert_eq!(claimed.request_id.as_deref(), Some("late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expired_lease_is_taken_over_once_and_counts_as_a_loss() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 3).await;
    let mut conn = database.conn().await;
    let first = claimant("first", 10);
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.push(claim(&mut conn, &first, user).await.unwrap().unwrap());
    }
    assert!(
        take_over(&mut conn, &claimant("second", 10), 10).await.unwrap().is_empty(),
        "leases that have not expired stay"
    );
    assert!(give_back(&mut conn, claimed[0].fence()).await.unwrap());
    let given = take_over(&mut conn, &claimant("second", 10), 10).await.unwrap();
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
            take_over(&mut conn, &claimant(&format!("t{number}"), 10), 1).await.unwrap()
        }
    });
    let mut taken: Vec<_> =
        join_all(takers).await.into_iter().flatten().map(|run| (run.id, run.attempt, run.losses)).collect();
    taken.sort();
    assert_eq!(taken, [(ids[1], 2, 1), (ids[2], 2, 1)], "one worker takes each run over");
}
