//! Claims over sets of users: caps, fairness, locked rows, and runs that are committed late.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use run_worker::leases::store::{ClaimedSet, Wanted, claim};
use run_worker::sweeper::waiting_users;
use shared::db::{Connection, statement};
use shared::ids::{RunId, UserId};
use shared::queue::Nudge;
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::{claim_one, claimant, pending_runs};

const CAP: i32 = 3;

/// Claims for these users at once, without waiting for locks.
async fn claim_set(conn: &mut Connection, cap: i32, wanted: &[(UserId, u32)], places: u32) -> ClaimedSet {
    let wanted: Vec<_> = wanted.iter().map(|(user, count)| Wanted { user: *user, count: *count }).collect();
    claim(conn, &claimant("w", cap), Uuid::new_v4(), &wanted, places, false).await.unwrap()
}

fn ids(set: &ClaimedSet) -> Vec<RunId> {
    set.runs.iter().map(|run| run.id).collect()
}

/// The rows of `user_slots`, as text.
async fn slots(conn: &mut Connection, columns: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        slot: String,
    }
    let sql = format!("SELECT concat_ws(' ', {columns}) AS slot FROM user_slots ORDER BY user_id");
    let rows: Vec<Row> = statement(sql).load(conn).await.unwrap();
    rows.into_iter().map(|row| row.slot).collect()
}

/// Adds a copy of one of the user's runs, pending and created so many milliseconds ago.
async fn add_run(database: &TestDatabase, user: UserId, milliseconds_ago: u32) -> RunId {
    let id = RunId::generate();
    let sql = format!(
        "WITH r AS (
            INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', '{id}',
                'created_at', capi_now() - interval '{milliseconds_ago} ms', 'status', 'pending',
                'attempt', 0, 'last_seq', 1, 'holds_place', false, 'lease_owner', null, 'lease_claim', null,
                'lease_expires_at', null, 'completed_at', null))).*
            FROM runs r WHERE r.user_id = '{user}' LIMIT 1 RETURNING id, created_at)
         INSERT INTO run_events (run_id, seq, type, at, attempt, data)
         SELECT id, 1, 'run.created', created_at, 0, '{{}}' FROM r"
    );
    assert_eq!(database.run_sql(sql).await, 1);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sets_of_overlapping_users_keep_each_cap() {
    let database = TestDatabase::create().await;
    let mut users = Vec::new();
    for _ in 0..6 {
        users.push(pending_runs(&database, 8).await);
    }
    let connections = join_all((0..8).map(|_| database.conn())).await;
    let claims = connections.into_iter().enumerate().map(|(number, mut conn)| {
        let mut wanted: Vec<_> = users.iter().map(|(user, _)| Wanted { user: *user, count: 2 }).collect();
        wanted.rotate_left(number % 6);
        wanted.truncate(4);
        async move {
            let by = claimant("w", CAP);
            let set = claim(&mut conn, &by, Uuid::new_v4(), &wanted, 64, false).await.unwrap();
            let mut claimed = ids(&set);
            for locked in set.locked {
                let alone = claim(&mut conn, &by, Uuid::new_v4(), &[locked], 64, true).await.unwrap();
                assert!(alone.locked.is_empty(), "it waited for the lock");
                claimed.extend(ids(&alone));
            }
            claimed
        }
    });
    let mut claimed: Vec<_> = join_all(claims).await.into_iter().flatten().collect();
    claimed.sort();
    let mut oldest: Vec<_> = users.iter().flat_map(|(_, runs)| runs[..3].iter().copied()).collect();
    oldest.sort();
    assert_eq!(claimed, oldest, "of each user exactly the cap, oldest first, each once");
    assert_eq!(slots(&mut database.conn().await, "running").await, ["3"; 6]);
}

/// runs.md 12: few places go to the users with the fewest running runs.
#[tokio::test(flavor = "multi_thread")]
async fn few_places_are_shared_fairly() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (a, runs_of_a) = pending_runs(&database, 12).await;
    assert_eq!(claim_set(&mut conn, 10, &[(a, 4)], 16).await.runs.len(), 4);
    let (b, runs_of_b) = pending_runs(&database, 1).await;
    let (c, runs_of_c) = pending_runs(&database, 3).await;
    let wanted = [(a, 20), (b, 20), (c, 20)];
    let set = claim_set(&mut conn, 10, &wanted, 4).await;
    let mut expected = vec![runs_of_b[0], runs_of_c[0], runs_of_c[1], runs_of_c[2]];
    expected.sort();
    let mut claimed = ids(&set);
    claimed.sort();
    assert_eq!(claimed, expected, "A has four running runs");
    let more: Vec<_> = set.more.iter().map(|more| (more.user, more.count)).collect();
    assert_eq!(more, [(a, 6)], "A's cap leaves six");

    let set = claim_set(&mut conn, 10, &wanted, 16).await;
    assert_eq!(ids(&set).len(), 6);
    assert!(ids(&set).iter().all(|run| runs_of_a[4..10].contains(run)) && set.more.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_takes_no_more_than_wanted_and_says_what_is_left() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, runs) = pending_runs(&database, 5).await;
    let set = claim_set(&mut conn, 4, &[(user, 1)], 64).await;
    assert_eq!((ids(&set), set.more), (vec![runs[0]], vec![Wanted { user, count: 3 }]));
    let set = claim_set(&mut conn, 4, &[(user, 3)], 64).await;
    assert_eq!((ids(&set).len(), set.more), (3, vec![]), "the cap is full");
    assert!(claim_set(&mut conn, 4, &[(user, 3)], 64).await.runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_users_and_locked_runs_are_skipped() {
    let database = TestDatabase::create().await;
    let (mut conn, mut other) = (database.conn().await, database.conn().await);
    let (locked, _) = pending_runs(&database, 1).await;
    let (free, runs) = pending_runs(&database, 3).await;
    let lock = format!(
        "BEGIN; SELECT 1 FROM user_slots WHERE user_id = '{locked}' FOR UPDATE;
         SELECT 1 FROM runs WHERE id = '{}' FOR UPDATE",
        runs[0]
    );
    other.batch_execute(&lock).await.unwrap();
    let set = claim_set(&mut conn, CAP, &[(locked, 1), (free, 3)], 64).await;
    let mut claimed = ids(&set);
    claimed.sort();
    assert_eq!(claimed, runs[1..], "the run that is cancelled just now is skipped");
    assert_eq!((set.locked, set.more), (vec![Wanted { user: locked, count: 1 }], vec![]));
    other.batch_execute("ROLLBACK").await.unwrap();
    let set = claim_set(&mut conn, CAP, &[(locked, 1), (free, 3)], 64).await;
    assert_eq!(set.runs.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_pending_runs_locks_nothing() {
    let database = TestDatabase::create().await;
    let mut conn = database.conn().await;
    let (user, _) = pending_runs(&database, 1).await;
    claim_one(&mut conn, &claimant("w", CAP), user).await.unwrap();
    let before = slots(&mut conn, "ctid, xmin, xmax").await;
    assert!(claim_set(&mut conn, CAP, &[(user, 1)], 64).await.runs.is_empty());
    assert_eq!(slots(&mut conn, "ctid, xmin, xmax").await, before);
}

/// A create takes a while from its `created_at` to its commit. A claim does not read all older runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_committed_late_is_found_at_once_or_by_the_sweeper() {
    let database = TestDatabase::create().await;
    let (mut conn, by) = (database.conn().await, claimant("w", 10));
    let (user, _) = pending_runs(&database, 1).await;
    claim_one(&mut conn, &by, user).await.unwrap();
    database.run_sql("UPDATE user_slots SET pending_from = capi_now() - interval '0.25 s'").await;
    let late = add_run(&database, user, 50).await;
    assert_eq!(claim_one(&mut conn, &by, user).await.unwrap().id, late);

    let very_late = add_run(&database, user, 60_000).await;
    assert!(claim_one(&mut conn, &by, user).await.is_none(), "the claim does not look there");
    assert_eq!(waiting_users(&mut conn, &by, 100).await.unwrap(), [Nudge::new(user.uuid())]);
    assert_eq!(claim_one(&mut conn, &by, user).await.unwrap().id, very_late);
    assert!(waiting_users(&mut conn, &by, 100).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_sets_wrong_counts_right() {
    let database = TestDatabase::create().await;
    let (mut conn, by) = (database.conn().await, claimant("w", CAP));
    let (user, _) = pending_runs(&database, 3).await;
    claim_one(&mut conn, &by, user).await.unwrap();
    database.run_sql("UPDATE user_slots SET running = 50").await;
    assert!(claim_one(&mut conn, &by, user).await.is_none());
    assert_eq!(waiting_users(&mut conn, &by, 100).await.unwrap(), [Nudge::times(user.uuid(), 2)]);
    assert_eq!(slots(&mut conn, "running").await, ["1"]);
    assert!(claim_one(&mut conn, &by, user).await.is_some());
}

/// Such a user has no place free at any sweep: each end starts a newer run.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_corrects_the_slot_of_a_user_at_the_cap() {
    let database = TestDatabase::create().await;
    let (mut conn, by) = (database.conn().await, claimant("w", 1));
    let (user, _) = pending_runs(&database, 2).await;
    claim_one(&mut conn, &by, user).await.unwrap();
    let hidden = add_run(&database, user, 60_000).await;
    database.run_sql("UPDATE user_slots SET running = 0").await;
    assert!(waiting_users(&mut conn, &by, 100).await.unwrap().is_empty(), "nothing can start");
    assert_eq!(slots(&mut conn, "running").await, ["1"]);
    assert!(claim_one(&mut conn, &by, user).await.is_none(), "the cap holds");
    let end = "UPDATE runs SET status = 'completed', completed_at = capi_now(), result = '{}',
               lease_owner = NULL, lease_expires_at = NULL WHERE status = 'running'";
    assert_eq!(database.run_sql(end).await, 1);
    assert_eq!(claim_one(&mut conn, &by, user).await.unwrap().id, hidden, "the oldest run comes first");
}

/// Workers of the former version claim beside this one.
#[tokio::test(flavor = "multi_thread")]
async fn claims_of_the_former_version_keep_the_same_cap() {
    let database = TestDatabase::create().await;
    let (user, runs) = pending_runs(&database, 10).await;
    let former = format!("SELECT id FROM claim_run_v1('{user}', 'old', '30 s', '{{\"pro\": {CAP}}}', 1)");
    let connections = join_all((0..6).map(|_| database.conn())).await;
    let claims = connections.into_iter().enumerate().map(|(number, mut conn)| {
        let former = former.clone();
        async move {
            if number % 2 == 0 {
                usize::from(claim_one(&mut conn, &claimant("w", CAP), user).await.is_some())
            } else {
                statement(former).execute(&mut conn).await.unwrap()
            }
        }
    });
    assert_eq!(join_all(claims).await.into_iter().sum::<usize>(), 3);
    let mut conn = database.conn().await;
    assert_eq!(slots(&mut conn, "running").await, ["3"]);
    let end = "UPDATE runs SET status = 'completed', completed_at = capi_now(), result = '{}',
               lease_owner = NULL, lease_expires_at = NULL WHERE status = 'running'";
    assert_eq!(database.run_sql(end).await, 3);
    assert_eq!(slots(&mut conn, "running").await, ["0"]);
    let next = claim_set(&mut conn, CAP, &[(user, 2)], 64).await;
    let found: BTreeMap<_, _> = next.runs.iter().map(|run| (run.id, run.attempt)).collect();
    assert_eq!(found, BTreeMap::from([(runs[3], 1), (runs[4], 1)]));
}
