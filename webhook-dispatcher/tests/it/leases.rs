//! A delivery belongs to one claim at a time.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
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

/// A lease, a pause and the bounds of the lane lie an hour ahead then.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_holds_nothing_back() {
    let fixture = Fixture::create().await;
    let hour = Duration::from_hours(1);
    fixture.let_pass(hour).await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    fixture.database.run_sql("UPDATE webhook_lanes SET failures = 0").await;
    let lost = fixture.claim(lane).await.unwrap();
    fixture.database.run_sql("UPDATE webhook_lanes SET closed_until = capi_now() + interval '10 min'").await;
    fixture.let_pass(Duration::ZERO).await;
    let due = "UPDATE webhook_deliveries SET next_attempt_at = capi_now()";
    fixture.database.run_sql(due).await;
    let swept = "SELECT cardinality(lanes)::text AS text
                 FROM webhook_lanes_due_v2('00000000-0000-0000-0000-000000000000', 10, 10, 10, '30 s')";
    assert_eq!(fixture.text(swept).await, "1");
    let claimed = fixture.claim(lane).await.unwrap();
    assert_eq!((claimed.id, claimed.lost_claims), (lost.id, 1));
    assert!(fixture.claim(lane).await.is_none(), "the new lease holds");
}

/// Only the permit that waits for the lane is held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_lane_does_not_stop_the_consumer() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    let other = receiver.url().replace("127.0.0.1", "h1.localhost");
    let (first, locked) = fixture.deliver_to(&receiver.url()).await;
    fixture.attempts_when(first, "delivered").await;
    let mut holder = fixture.database.conn().await;
    let run = fixture.run_to(&receiver.url()).await;
    shared::runs::cancel(&mut fixture.database.conn().await, fixture.user, None, run).await.unwrap();
    let lock = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
         SELECT 1 FROM webhook_lanes WHERE id = '{locked}' FOR NO KEY UPDATE"
    );
    holder.batch_execute(&lock).await.unwrap();
    fixture.nudge(locked).await;
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock'";
    eventually("a claim waits", async || (fixture.database.run_sql(waiting).await > 0).then_some(())).await;
    let (run_of_other, _) = fixture.deliver_to(&other).await;
    let arrived = fixture.attempts_when(run_of_other, "delivered");
    // Less than the claim waits for the lock.
    tokio::time::timeout(Duration::from_secs(2), arrived).await.expect("the other lane does not wait");
    holder.batch_execute("COMMIT").await.unwrap();
    fixture.attempts_when(run, "delivered").await;
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
