//! Claims and records of sets: each row has its own fence and its own answer.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Bool;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use shared::batch::{Batch, SetCall};
use shared::db::statement;
use shared::deliveries::{DeliveryError, DeliveryStatus};
use shared::ids::LaneId;
use webhook_dispatcher::attempt::{AttemptResult, Next};
use webhook_dispatcher::circuit::Change;
use webhook_dispatcher::claims::{Claimed, LEASE, claim};
use webhook_dispatcher::record::{Record, Recording, record};
use webhook_dispatcher::shares::Offer;

use crate::fixture::{Fixture, delivered};

/// Two lanes whose hosts work, with so many due deliveries each.
async fn two_lanes(fixture: &Fixture, due: usize) -> [LaneId; 2] {
    let mut lanes = Vec::new();
    for port in [8080, 8081] {
        for _ in 0..due {
            lanes.push(fixture.deliver_to(&format!("http://h{port}.localhost:{port}/")).await.1);
        }
    }
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    [lanes[0], lanes[due]]
}

/// A failure of the host, which counts for its lane.
fn broken(claimed: &Claimed) -> Arc<Record> {
    let lane = Some(Change { failures: claimed.failures.unwrap_or(0) + 1, closed_for: None });
    let next = Next { status: DeliveryStatus::Retrying, wait: Duration::from_secs(5), lane };
    Arc::new(Record::new(claimed, AttemptResult::failed(DeliveryError::Timeout, "slow"), next))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_from_each_lane_in_turn() {
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, 4).await;
    let three = fixture.claims("d", &lanes, 3).await;
    let of = |claimed: &[Claimed], lane| claimed.iter().filter(|one| one.lane_id == lane).count();
    let counts = [of(&three.claimed, lanes[0]), of(&three.claimed, lanes[1])];
    assert!(counts == [2, 1] || counts == [1, 2], "{counts:?}");
    assert_eq!(three.more.len(), 2);
    let rest = fixture.claims("d", &lanes, 64).await;
    assert_eq!((rest.claimed.len(), rest.more.len(), rest.locked.len()), (5, 0, 0));
    assert_eq!(fixture.claims("d", &lanes, 64).await.claimed.len(), 0);
    let owners: std::collections::HashSet<_> =
        three.claimed.iter().chain(&rest.claimed).map(|claimed| &claimed.lease_owner).collect();
    assert_eq!(owners.len(), 2, "one for each claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_lane_does_not_delay_the_others() {
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, 2).await;
    let mut holder = fixture.database.conn().await;
    let lock = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
         SELECT 1 FROM webhook_lanes WHERE id = '{}' FOR NO KEY UPDATE",
        lanes[0]
    );
    holder.batch_execute(&lock).await.unwrap();
    let mut conn = fixture.database.conn().await;
    let claims = claim(&mut conn, "d", &lanes, &Offer::everything(), 64, false).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.locked), (2, vec![lanes[0]]));
    let waiting = tokio::spawn(async move {
        claim(&mut conn, "d", &lanes, &Offer::everything(), 64, true).await.unwrap().claimed.len()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "it waits for the lane");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap(), 2);
}

/// Without a transaction id nothing is written, not even a row lock, and the commit needs no flush.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_finds_nothing_writes_nothing() {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        unchanged: bool,
    }
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, 1).await;
    let mut conn = fixture.database.conn().await;
    let mut unchanged = async |offer: &Offer| {
        conn.batch_execute("BEGIN").await.unwrap();
        let claims = claim(&mut conn, "d", &lanes, offer, 64, false).await.unwrap();
        let sql = "SELECT pg_current_xact_id_if_assigned() IS NULL AS unchanged";
        let row: Row = statement(sql).get_result(&mut conn).await.unwrap();
        conn.batch_execute("ROLLBACK").await.unwrap();
        (claims.claimed.len(), row.unchanged)
    };
    let everything = Offer::everything();
    assert_eq!(unchanged(&everything).await, (2, false), "there is work");
    let users = vec![fixture.user.uuid()];
    let full = Offer { permits: 64, users, held: vec![32], doubtful: vec![0], answering: None, wide: 12 };
    assert_eq!(unchanged(&full).await, (0, true), "the user has its share");
    fixture.claims("d", &lanes, 64).await;
    assert_eq!(unchanged(&everything).await, (0, true), "all is in flight");
    let back = "UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL, attempt = 0";
    fixture.database.run_sql(back).await;
    fixture.database.run_sql("UPDATE webhook_lanes SET closed_until = capi_now() + interval '10 min'").await;
    assert_eq!(unchanged(&everything).await, (0, true), "the lanes are closed");
    let later = "UPDATE webhook_deliveries SET next_attempt_at = capi_now() + interval '1 hour'";
    fixture.database.run_sql("UPDATE webhook_lanes SET closed_until = NULL").await;
    fixture.database.run_sql(later).await;
    assert_eq!(unchanged(&everything).await, (0, true), "nothing is due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_delivery_does_not_delay_the_other_records() {
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, 2).await;
    let claimed = fixture.claims("d", &lanes, 64).await.claimed;
    let mut holder = fixture.database.conn().await;
    let lock =
        format!("BEGIN; SELECT 1 FROM webhook_deliveries WHERE id = '{}' FOR NO KEY UPDATE", claimed[1].id);
    holder.batch_execute(&lock).await.unwrap();
    let set: Vec<_> = claimed.iter().map(delivered).collect();
    let recorded = record(&mut fixture.database.conn().await, &set, false).await.unwrap();
    let written: Vec<_> = recorded.iter().map(|one| one.map(|one| one.written)).collect();
    assert_eq!(written, [Some(true), None, Some(true), Some(true)]);
    holder.batch_execute("COMMIT").await.unwrap();
    let alone = Recording(fixture.database.db.clone()).alone(&set[1]).await.unwrap();
    assert!(alone.written);
    let again = record(&mut fixture.database.conn().await, &set, false).await.unwrap();
    assert!(again.iter().all(|one| !one.unwrap().written), "each attempt is recorded once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_result_in_a_set_fails_alone() {
    const RESULTS: usize = 6;
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, RESULTS / 2).await;
    let claimed = fixture.claims("d", &lanes, 64).await.claimed;
    let poison = format!(
        "INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms)
         VALUES ('{}', 1, capi_now(), 1)",
        claimed[3].id
    );
    fixture.database.run_sql(poison).await;
    let set: Vec<_> = claimed.iter().map(delivered).collect();
    assert!(record(&mut fixture.database.conn().await, &set, false).await.is_err(), "the whole set fails");
    let batch = Batch::start("test", 100, Recording(fixture.database.db.clone()));
    let mut calls = Vec::new();
    for record in &set {
        let (batch, record) = (batch.clone(), Arc::clone(record));
        calls.push(tokio::spawn(async move { batch.call(record).await.map(|recorded| recorded.written) }));
    }
    for (number, call) in calls.into_iter().enumerate() {
        let written = call.await.unwrap();
        assert_eq!(written.ok(), (number != 3).then_some(true), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_a_lane_in_one_set_count_once() {
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, 3).await;
    let claimed = fixture.claims("d", &lanes, 64).await.claimed;
    let set: Vec<_> = claimed
        .iter()
        .map(|claimed| if claimed.lane_id == lanes[0] { broken(claimed) } else { delivered(claimed) })
        .collect();
    let recorded = record(&mut fixture.database.conn().await, &set, false).await.unwrap();
    assert!(recorded.iter().all(|one| one.unwrap().written));
    assert_eq!(recorded.iter().filter(|one| one.unwrap().lane_changed).count(), 1, "one fault, one failure");
    let failures = "SELECT string_agg(failures::text, ' ' ORDER BY failures) AS text FROM webhook_lanes";
    assert_eq!(fixture.text(failures).await, "0 1");
    let states = "SELECT string_agg(status, ' ' ORDER BY status) AS text FROM webhook_deliveries";
    assert_eq!(fixture.text(states).await, "delivered delivered delivered retrying retrying retrying");
}

/// Many claims at once never give a delivery twice, nor more of a lane than its share.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_share_a_lane() {
    const DUE: usize = 24;
    const DISPATCHERS: usize = 8;
    let fixture = Fixture::create().await;
    let lanes = two_lanes(&fixture, DUE).await;
    let mut claims = Vec::new();
    for number in 0..DISPATCHERS {
        let (fixture, lanes) = (&fixture, &lanes);
        claims.push(async move { fixture.claims(&format!("d{number}"), lanes, 5).await.claimed });
    }
    let mut ids = std::collections::HashSet::new();
    for claimed in futures_util::future::join_all(claims).await.into_iter().flatten() {
        assert!(ids.insert(claimed.id), "claimed twice");
    }
    assert!(ids.len() <= 32, "{} of two lanes with 16 each", ids.len());
    let owned = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE lease_owner IS NOT NULL";
    assert_eq!(fixture.text(owned).await, ids.len().to_string());
    fixture.let_pass(LEASE + Duration::from_secs(1)).await;
    assert_eq!(fixture.claims("d", &lanes, 64).await.claimed.len(), 32, "expired leases hold no share");
}
