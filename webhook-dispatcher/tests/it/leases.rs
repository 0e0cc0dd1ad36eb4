//! A delivery belongs to one dispatcher at a time.

use std::time::Duration;

use shared::deliveries::DeliveryStatus;
use shared::testing::{Ending, RawServer, WebhookReceiver, eventually};
use webhook_dispatcher::attempt::{AttemptResult, LEASE, Next, Recorded, claim, give_back, record};
use webhook_dispatcher::circuit::Change;
use webhook_dispatcher::shares::Offer;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_dead_dispatcher_is_taken_over() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let (run, lane) = fixture.deliver_to(&receiver.url()).await;
    let mut conn = fixture.database.conn().await;
    let expired = claim(&mut conn, "dead", lane, &Offer::everything()).await.unwrap().unwrap();
    let other = claim(&mut conn, "other", lane, &Offer::everything()).await.unwrap();
    assert!(other.is_none(), "the lease holds");
    let _dispatcher = fixture.start().await;
    fixture.let_pass(LEASE + Duration::from_secs(1)).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [2]);
    assert_eq!(receiver.received().len(), 1);

    let (late_result, wait) = (AttemptResult::not_sent("late"), Duration::ZERO);
    let lane = Some(Change { failures: 7, closed_for: Some(LEASE) });
    let next = Next { status: DeliveryStatus::Failed, wait, lane };
    let recorded = record(&mut conn, "dead", &expired, &late_result, next).await.unwrap();
    assert_eq!(recorded, Recorded::default(), "neither the delivery nor its lane changes");
    assert!(!give_back(&mut conn, "dead", &expired, wait).await.unwrap());
    assert_eq!(fixture.attempts_when(run, "delivered").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_begins_to_hang_holds_four_requests_and_no_other_lane() {
    let fixture = Fixture::create().await;
    let mut lanes = Vec::new();
    for _ in 0..5 {
        lanes.push(fixture.deliver_to("http://127.0.0.1:8080/hangs").await.1);
    }
    let (_, other) = fixture.deliver_to("http://127.0.0.1:8081/works").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    let mut conn = fixture.database.conn().await;
    let mut claims = Vec::new();
    for lane in &lanes {
        claims.push(claim(&mut conn, "d", *lane, &Offer::everything()).await.unwrap().is_some());
    }
    assert_eq!(claims, [true, true, true, true, false]);
    assert!(claim(&mut conn, "d", other, &Offer::everything()).await.unwrap().is_some());
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
