//! A delivery belongs to one claim at a time.

use std::sync::Arc;
use std::time::Duration;

use shared::deliveries::DeliveryStatus;
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};
use webhook_dispatcher::attempt::{AttemptResult, Next};
use webhook_dispatcher::circuit::Change;
use webhook_dispatcher::claims::{Claimed, LANE_SHARE, LEASE, give_back};
use webhook_dispatcher::record::{Record, Recorded, record};

use crate::fixture::Fixture;

/// A result that closes the lane.
fn failed(claimed: &Claimed) -> Arc<Record> {
    let lane = Some(Change { failures: 7, closed_for: Some(LEASE) });
    let next = Next { status: DeliveryStatus::Failed, wait: Duration::ZERO, lane };
    Arc::new(Record::new(claimed, AttemptResult::not_sent("late"), next))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_dead_dispatcher_is_taken_over() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let (run, lane) = fixture.deliver_to(&receiver.url()).await;
    let expired = fixture.claim(lane).await.unwrap();
    assert!(fixture.claim(lane).await.is_none(), "the lease holds");
    let _dispatcher = fixture.start().await;
    fixture.let_pass(LEASE + Duration::from_secs(1)).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(
        attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(),
        [1],
        "a loss is no attempt"
    );
    assert_eq!(receiver.received().len(), 1);

    let mut conn = fixture.database.conn().await;
    let recorded = record(&mut conn, &[failed(&expired)], true).await.unwrap();
    assert_eq!(recorded, [Some(Recorded::default())], "neither the delivery nor its lane changes");
    assert_eq!(give_back(&mut conn, &[&expired], Duration::ZERO).await.unwrap(), 0);
    assert_eq!(fixture.attempts_when(run, "delivered").await.len(), 1);
}

/// Both claims have the name of one dispatcher and the same number of the attempt, as after a failover that
/// lost transactions.
#[tokio::test(flavor = "multi_thread")]
async fn each_claim_fences_the_writes_of_the_former_one() {
    let fixture = Fixture::create().await;
    let (run, lane) = fixture.deliver_to("http://127.0.0.1:8080/hangs").await;
    let former = fixture.claim(lane).await.unwrap();
    fixture.let_pass(LEASE + Duration::from_secs(1)).await;
    let current = fixture.claim(lane).await.unwrap();
    assert_eq!((former.id, former.attempt), (current.id, current.attempt));
    let mut conn = fixture.database.conn().await;
    let both = [failed(&former), failed(&current)];
    let recorded = record(&mut conn, &both, false).await.unwrap();
    assert_eq!(recorded.iter().map(|one| one.unwrap().written).collect::<Vec<_>>(), [false, true]);
    assert_eq!(give_back(&mut conn, &[&former, &current], Duration::ZERO).await.unwrap(), 0);
    assert_eq!(fixture.attempts_when(run, "failed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_begins_to_hang_holds_its_share_and_no_other_lane() {
    let fixture = Fixture::create().await;
    let share = usize::try_from(LANE_SHARE).unwrap();
    let mut lanes = Vec::new();
    for _ in 0..=share {
        lanes.push(fixture.deliver_to("http://127.0.0.1:8080/hangs").await.1);
    }
    let (_, other) = fixture.deliver_to("http://127.0.0.1:8081/works").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    let mut claims = 0;
    for lane in &lanes {
        claims += usize::from(fixture.claim(*lane).await.is_some());
    }
    assert_eq!(claims, share);
    assert!(fixture.claim(other).await.is_some());
}

/// It has four then, like a lane of which nothing is known but that it works.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_with_a_slow_request_gets_no_more_than_four() {
    let fixture = Fixture::create().await;
    let mut lane = None;
    for _ in 0..8 {
        lane = Some(fixture.deliver_to("http://127.0.0.1:8080/hangs").await.1);
    }
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    let lanes = [lane.unwrap()];
    assert_eq!(fixture.claims("d", &lanes, 2).await.claimed.len(), 2);
    fixture.let_pass(Duration::from_secs(3)).await;
    assert_eq!(fixture.claims("d", &lanes, 8).await.claimed.len(), 2);
    assert!(fixture.claim(lanes[0]).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_stops_records_what_it_sent() {
    let fixture = Fixture::create().await;
    let silent = RawServer::ending(vec![], Duration::ZERO, Ending::Hold).await;
    let dispatcher = fixture.start_with(|config| config.total_timeout = Duration::from_secs(2)).await;
    let (run, _) = fixture.deliver_to(&silent.url("http")).await;
    eventually("the request is in flight", async || (silent.connections() == 1).then_some(())).await;
    drop(dispatcher);
    assert_eq!(fixture.status(run).await, "retrying");
}
