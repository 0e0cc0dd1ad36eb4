//! Jumps of the database's clock, and runs that are given back for another worker.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Double;
use diesel_async::RunQueryDsl;
use run_worker::leases::clock::{LeaseClock, shorten};
use run_worker::leases::elsewhere::{Waited, waited};
use run_worker::leases::store::give_back_after;
use shared::config::LeaseConfig;
use shared::db::statement;
use shared::ids::RunId;
use shared::runs::Fence;
use shared::testing::TestDatabase;
use uuid::Uuid;

use crate::{LEASE, pending_runs};

const HOUR: Duration = Duration::from_hours(1);

/// Makes runs that a worker holds, under this claim.
async fn held_runs(database: &TestDatabase, claim: Uuid, count: usize) -> Vec<RunId> {
    let (_, ids) = pending_runs(database, count).await;
    let hold = format!(
        "UPDATE runs SET status = 'running', attempt = 1, last_seq = 2, started_at = capi_now(),
             lease_owner = 'w', lease_claim = '{claim}', lease_expires_at = capi_now() + interval '30 s'"
    );
    database.run_sql(hold).await;
    let started = "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
                   SELECT id, 2, 'run.started', capi_now(), 1, '{}' FROM runs";
    database.run_sql(started).await;
    ids
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Until the last lease ends.
async fn longest_lease(database: &TestDatabase) -> f64 {
    let sql = "SELECT extract(epoch FROM max(lease_expires_at) - capi_now())::double precision AS seconds
               FROM runs";
    let row: Row = statement(sql).get_result(&mut database.conn().await).await.unwrap();
    row.seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_clock_is_noticed_once() {
    let database = TestDatabase::create().await;
    let clock = LeaseClock::new(LeaseConfig { lease_seconds: 30 });
    let jumped = async || clock.judge(&database.db).await.unwrap();
    assert!(!jumped().await);
    database.set_clock_ahead(Duration::from_secs(31)).await;
    assert!(jumped().await, "ahead");
    assert!(!jumped().await, "the new time is the time now");
    database.set_clock_ahead(Duration::from_secs(33)).await;
    assert!(!jumped().await, "too short to harm a lease");
    database.set_clock_ahead(Duration::ZERO).await;
    assert!(jumped().await, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_back_does_not_prolong_leases() {
    let database = TestDatabase::create().await;
    database.set_clock_ahead(HOUR).await;
    let clock = LeaseClock::new(LeaseConfig { lease_seconds: 30 });
    clock.judge(&database.db).await.unwrap();
    held_runs(&database, Uuid::now_v7(), 3).await;
    database.set_clock_ahead(Duration::ZERO).await;
    assert!(longest_lease(&database).await > 3600.0);
    assert!(clock.judge(&database.db).await.unwrap());
    let longest = longest_lease(&database).await;
    assert!((20.0..=30.0).contains(&longest), "{longest}");
}

/// Perhaps no worker lived when the clock jumped.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_worker_shortens_leases_that_no_setting_allows() {
    let database = TestDatabase::create().await;
    held_runs(&database, Uuid::now_v7(), 1).await;
    let clock = || LeaseClock::new(LeaseConfig { lease_seconds: 30 });
    for (lease, is_shortened) in [("300 s", false), ("1 h", true)] {
        let sql = format!("UPDATE runs SET lease_expires_at = capi_now() + interval '{lease}'");
        database.run_sql(sql).await;
        assert!(!clock().judge(&database.db).await.unwrap());
        assert_eq!(longest_lease(&database).await <= 30.0, is_shortened, "{lease}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_leases_that_are_too_long_are_shortened() {
    let database = TestDatabase::create().await;
    held_runs(&database, Uuid::now_v7(), 2).await;
    let conn = &mut database.conn().await;
    assert_eq!(shorten(conn, LEASE + Duration::from_secs(5), LEASE).await.unwrap(), 0);
    let one = "UPDATE runs SET lease_expires_at = capi_now() + interval '1 h'
               WHERE id = (SELECT id FROM runs ORDER BY id LIMIT 1)";
    database.run_sql(one).await;
    assert_eq!(shorten(conn, LEASE + Duration::from_secs(5), LEASE).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_for_another_worker_has_no_owner_and_waits() {
    let database = TestDatabase::create().await;
    let claim = Uuid::now_v7();
    let run = held_runs(&database, claim, 1).await[0];
    let conn = &mut database.conn().await;
    let pause = Duration::from_mins(1);
    let stale = Fence { run, attempt: 1, claim: Uuid::now_v7() };
    assert!(!give_back_after(conn, stale, pause).await.unwrap(), "another claim holds it");
    assert!(give_back_after(conn, Fence { claim, ..stale }, pause).await.unwrap());
    let waits = "SELECT 1 FROM runs WHERE lease_owner IS NULL AND losses = 0
                 AND lease_expires_at BETWEEN capi_now() + interval '30 s' AND capi_now() + interval '60 s'";
    assert_eq!(database.run_sql(waits).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_begins_after_the_last_step() {
    let database = TestDatabase::create().await;
    let run = held_runs(&database, Uuid::now_v7(), 1).await[0];
    let add = async |seq: i64, kind: &str, ago: i64| {
        let sql = format!(
            "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
             VALUES ('{run}', {seq}, '{kind}', capi_now() - interval '{ago} s', 1, '{{}}')"
        );
        database.run_sql(sql).await;
    };
    let read = async || waited(&mut database.conn().await, run).await.unwrap();
    let Waited { attempts, seconds } = read().await;
    assert!(attempts == 1 && seconds < 60.0, "{seconds}");
    add(3, "message", 900).await;
    add(4, "run.taken_over", 600).await;
    add(5, "run.taken_over", 300).await;
    let Waited { attempts, seconds } = read().await;
    assert!(attempts == 2 && (600.0..660.0).contains(&seconds), "{attempts} {seconds}");
}
