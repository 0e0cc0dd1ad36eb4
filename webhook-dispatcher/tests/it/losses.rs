//! A claim whose dispatcher died is no attempt. A webhook that ends dispatchers ends too.

use std::time::Duration;

use shared::testing::WebhookReceiver;
use webhook_dispatcher::claims::LEASE;
use webhook_dispatcher::deliver::LOST_CLAIMS;

use crate::fixture::{Fixture, received};

/// More than a schedule has attempts.
const DEATHS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn deaths_of_dispatchers_use_up_no_attempt() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([500]).await;
    let (run, lane) = fixture.deliver_to(&receiver.url()).await;
    let mut ahead = Duration::ZERO;
    for deaths in 0..DEATHS {
        let claimed = fixture.claim(lane).await.unwrap();
        assert_eq!((claimed.attempt, claimed.lost_claims), (1, i32::try_from(deaths).unwrap()));
        ahead += LEASE + Duration::from_secs(1);
        fixture.let_pass(ahead).await;
    }
    let _dispatcher = fixture.start().await;
    fixture.attempts_when(run, "retrying").await;
    let lost = "SELECT lost_claims::text AS text FROM webhook_deliveries";
    assert_eq!(fixture.text(lost).await, "0", "a recorded attempt begins anew");
    fixture.let_pass(ahead + Duration::from_secs(10)).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    received(&receiver, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_always_loses_its_dispatcher_ends_with_a_recorded_attempt() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let (run, lane) = fixture.deliver_to(&receiver.url()).await;
    fixture.claim(lane).await.unwrap();
    let lost = format!("UPDATE webhook_deliveries SET lost_claims = {}", LOST_CLAIMS - 1);
    fixture.database.run_sql(lost).await;
    fixture.let_pass(LEASE + Duration::from_secs(1)).await;
    let _dispatcher = fixture.start().await;
    let attempts = fixture.attempts_when(run, "failed").await;
    assert_eq!((attempts.len(), attempts[0].number, attempts[0].status_code), (1, 1, None));
    assert!(attempts[0].error.contains("not sent any more"), "{attempts:?}");
    assert!(receiver.received().is_empty());
}

/// The next attempt has the same number after a claim that was given back, and after one that was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_given_back_is_no_loss() {
    let fixture = Fixture::create().await;
    let (_, lane) = fixture.deliver_to("http://127.0.0.1:8080/").await;
    let mut conn = fixture.database.conn().await;
    for _ in 0..3 {
        let claimed = fixture.claim(lane).await.unwrap();
        assert_eq!((claimed.attempt, claimed.lost_claims), (1, 0));
        let given = webhook_dispatcher::claims::give_back(&mut conn, &[&claimed], Duration::ZERO).await;
        assert_eq!(given.unwrap(), 1);
    }
}
