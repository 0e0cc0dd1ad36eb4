//! What a claim costs does not depend on the deliveries that wait in its lane.

use std::time::Duration;

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shared::db::{Connection, statement};
use shared::ids::LaneId;
use shared::testing::{PlanLine, plan_of};
use webhook_dispatcher::claims::claim;
use webhook_dispatcher::record::record;
use webhook_dispatcher::shares::Offer;

use crate::fixture::{Fixture, delivered};

const WAITING: usize = 50_000;

/// The pages that a claim of so many places reads and writes. It is rolled back.
async fn pages(conn: &mut Connection, lane: LaneId, places: usize) -> usize {
    let sql = format!(
        "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
         SELECT count(*) FROM claim_deliveries_v3(ARRAY['{lane}'::uuid], 'd', '30 s', 16, 1000,
                                                  '{{}}', '{{}}', '{{}}', NULL, 12, {places}, true)"
    );
    conn.batch_execute("BEGIN").await.unwrap();
    let lines: Vec<PlanLine> = statement(sql).load(conn).await.unwrap();
    conn.batch_execute("ROLLBACK").await.unwrap();
    let plan = plan_of(&lines);
    let buffers = plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared ")).unwrap();
    let counts = buffers.split(' ').filter_map(|part| part.split_once('='));
    counts
        .filter(|(what, _)| ["hit", "read"].contains(what))
        .map(|(_, pages)| pages.parse::<usize>().unwrap())
        .sum()
}

/// Adds so many deliveries that are due, without runs.
async fn add(fixture: &Fixture, lane: LaneId, count: usize) {
    let sql = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO webhook_deliveries
             (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
         SELECT gen_random_uuid(), l.id, l.user_id, gen_random_uuid(), 'run.completed', 'http://h/',
                'pending', capi_now() - interval '1 day' + n * interval '10 ms', capi_now()
         FROM webhook_lanes l, generate_series(1, {count}) n WHERE l.id = '{lane}';
         COMMIT"
    );
    fixture.database.conn().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_flat_in_the_backlog_of_its_lane() {
    let fixture = Fixture::create().await;
    fixture.database.disable_autovacuum().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    let mut conn = fixture.database.conn().await;
    // The plans of this session are made now, while the table is nearly empty, with statistics that say so.
    fixture.database.run_sql("ANALYZE webhook_deliveries").await;
    for _ in 0..3 {
        pages(&mut conn, lane, 16).await;
    }
    add(&fixture, lane, 100).await;
    let few = (pages(&mut conn, lane, 1).await, pages(&mut conn, lane, 16).await);
    add(&fixture, lane, WAITING).await;
    let with_old_plans = (pages(&mut conn, lane, 1).await, pages(&mut conn, lane, 16).await);
    fixture.database.run_sql("ANALYZE webhook_deliveries").await;
    pages(&mut conn, lane, 1).await;
    let many = (pages(&mut conn, lane, 1).await, pages(&mut conn, lane, 16).await);
    for (one, set) in [with_old_plans, many] {
        assert!(one <= few.0 * 2 && set <= few.1 * 2, "{few:?}, then {with_old_plans:?}, then {many:?}");
        assert!(set / 16 < one, "a set costs less than its claims alone: {many:?}");
    }

    assert_eq!(fixture.claims("d", &[lane], 16).await.claimed.len(), 16);
    // The lane, and what is in flight. The claims that were rolled back left versions of rows.
    fixture.database.run_sql("VACUUM webhook_deliveries").await;
    // Plans anew.
    pages(&mut conn, lane, 16).await;
    let full = pages(&mut conn, lane, 16).await;
    assert!(full <= 40, "{full} pages of a lane whose share is in flight");
}

/// The deliveries in flight are at the head of the backlog.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_in_flight_cost_no_more_than_the_share() {
    let fixture = Fixture::create().await;
    fixture.database.disable_autovacuum().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    add(&fixture, lane, WAITING).await;
    let mut conn = fixture.database.conn().await;
    pages(&mut conn, lane, 1).await;
    let first = pages(&mut conn, lane, 1).await;
    assert_eq!(fixture.claims("d", &[lane], 15).await.claimed.len(), 15);
    let last = pages(&mut conn, lane, 1).await;
    assert!(last <= first + 3 * 15, "{first} pages, then {last}");
}

/// The entries of deliveries that were recorded stay in the indexes while the other transaction may see them.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stays_open_does_not_make_claims_dear() {
    const SETS: usize = 100;
    let fixture = Fixture::create().await;
    fixture.database.disable_autovacuum().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    add(&fixture, lane, 2 * SETS * 16).await;
    let (mut conn, mut open) = (fixture.database.conn().await, fixture.database.conn().await);
    pages(&mut conn, lane, 1).await;
    let before = (pages(&mut conn, lane, 1).await, pages(&mut conn, lane, 16).await);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM users;
                 SET LOCAL idle_in_transaction_session_timeout = 0";
    open.batch_execute(begin).await.unwrap();
    for number in 0..SETS {
        if number == SETS - 1 {
            // The bounds of a lane move when this time has passed.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let claimed = fixture.claims("d", &[lane], 16).await.claimed;
        assert_eq!(claimed.len(), 16);
        let set: Vec<_> = claimed.iter().map(delivered).collect();
        let recorded = record(&mut fixture.database.conn().await, &set, true).await.unwrap();
        assert!(recorded.iter().all(|one| one.unwrap().written));
    }
    let after = (pages(&mut conn, lane, 1).await, pages(&mut conn, lane, 16).await);
    assert!(after.0 <= 3 * before.0 && after.1 <= 3 * before.1, "{before:?}, then {after:?}");
    open.batch_execute("COMMIT").await.unwrap();
}

/// Each claim that moves a bound leaves a version of the lane's row, which all later claims read.
#[tokio::test(flavor = "multi_thread")]
async fn claims_of_one_beside_an_open_transaction_leave_few_versions_of_the_lane() {
    const CLAIMS: usize = 1000;
    let fixture = Fixture::create().await;
    fixture.database.disable_autovacuum().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    add(&fixture, lane, 2 * CLAIMS).await;
    let (mut conn, mut open) = (fixture.database.conn().await, fixture.database.conn().await);
    pages(&mut conn, lane, 1).await;
    let before = pages(&mut conn, lane, 1).await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM users;
                 SET LOCAL idle_in_transaction_session_timeout = 0";
    open.batch_execute(begin).await.unwrap();
    for _ in 0..CLAIMS {
        let claimed = claim(&mut conn, "d", &[lane], &Offer::everything(), 1, true).await.unwrap().claimed;
        let set = [delivered(&claimed[0])];
        assert!(record(&mut conn, &set, true).await.unwrap()[0].unwrap().written);
    }
    let after = pages(&mut conn, lane, 1).await;
    assert!(after <= 3 * before, "{before} pages, then {after}");
    open.batch_execute("COMMIT").await.unwrap();
}

/// Two transactions commit in the other order than their times. The claim finds nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_commits_after_a_younger_one_is_claimed_by_its_own_nudge() {
    let fixture = Fixture::create().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    assert!(fixture.claim(lane).await.is_some());
    let earlier = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO webhook_deliveries
             (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
         SELECT gen_random_uuid(), l.id, l.user_id, gen_random_uuid(), 'run.completed', 'http://h/',
                'pending', d.next_attempt_at - interval '800 ms', capi_now()
         FROM webhook_lanes l JOIN webhook_deliveries d ON d.lane_id = l.id WHERE l.id = '{lane}';
         COMMIT"
    );
    fixture.database.conn().await.batch_execute(&earlier).await.unwrap();
    assert!(fixture.claim(lane).await.is_some());
}

/// Its insert committed later than those of younger ones, which were claimed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_finds_a_delivery_that_is_older_than_the_bound() {
    let fixture = Fixture::create().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    assert!(fixture.claim(lane).await.is_some());
    add(&fixture, lane, 1).await;
    assert!(fixture.claim(lane).await.is_none(), "a day before the bound");
    let sweep = "SELECT cardinality(lanes)::text AS text
                 FROM webhook_lanes_due_v2('00000000-0000-0000-0000-000000000000', 10, 10, 10, '30 s')";
    assert_eq!(fixture.text(sweep).await, "1");
    assert!(fixture.claim(lane).await.is_some());
}
