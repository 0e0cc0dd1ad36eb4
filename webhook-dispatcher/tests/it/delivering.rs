//! What a receiver gets, and how its answer changes the delivery.

use std::time::Duration;

use shared::testing::{PageServer, WebhookReceiver, eventually};

use crate::fixture::{Fixture, received};

/// Longer than the wait before the second attempt, shorter than a lease.
const FIRST_RETRY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_with_every_active_secret_and_delivered() {
    let fixture = Fixture::create().await;
    let secrets = [fixture.rotate_secret(&[0; 32]).await, fixture.rotate_secret(&[0; 32]).await];
    let receiver = WebhookReceiver::saying([200], b"thanks \0").await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!((attempts.len(), attempts[0].status_code, &*attempts[0].error), (1, Some(200), ""));
    assert_eq!(attempts[0].response_body, "thanks \u{fffd}");

    let request = received(&receiver, 1).await.remove(0);
    let (id, time) = (&request.headers["webhook-id"], request.headers["webhook-timestamp"].parse().unwrap());
    let signatures: Vec<_> = request.headers["webhook-signature"].split(' ').collect();
    let expected: Vec<_> = secrets
        .iter()
        .rev()
        .map(|secret| standardwebhooks::Webhook::new(secret).unwrap().sign(id, time, &request.body).unwrap())
        .collect();
    assert_eq!(signatures, expected);
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["user-agent"].starts_with("capi-webhooks/"));
    let body = request.json();
    assert_eq!((&body["type"], &body["data"]["status"]), (&"run.cancelled".into(), &"cancelled".into()));
    assert_eq!(body["data"]["id"], run.to_string());
    assert!(body["data"].get("webhook").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_tried_again_under_the_same_id() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::saying([500], b"busy").await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert_eq!((attempts[0].status_code, &*attempts[0].response_body), (Some(500), "busy"));
    assert_eq!(attempts[0].error, "The receiver answered 500.");
    fixture.let_pass(FIRST_RETRY).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    let requests = received(&receiver, 2).await;
    assert_eq!(requests[0].headers["webhook-id"], requests[1].headers["webhook-id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_ends_the_delivery() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([410]).await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "failed").await;
    assert_eq!((attempts.len(), attempts[0].status_code), (1, Some(410)));
}

/// `localhost` has an address of each family, and one allowed network is enough.
#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_reached_by_the_address_that_is_allowed() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let url = |host: &str| receiver.url().replace("127.0.0.1", host);
    for networks in ["127.0.0.0/8", "127.0.0.0/8,::1/128"] {
        let networks = networks.parse().unwrap();
        let _dispatcher =
            fixture.start_with(|config| config.webhook_networks.webhook_allowed_networks = networks).await;
        for host in ["localhost", "localhost.", "LocalHost", "hooks.localhost"] {
            let (run, _) = fixture.deliver_to(&url(host)).await;
            assert_eq!(fixture.attempts_when(run, "delivered").await.len(), 1, "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let fixture = Fixture::create().await;
    let pages = PageServer::start().await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&pages.url("/hop")).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert_eq!((attempts[0].status_code, pages.asked()), (Some(302), 1));
    assert!(attempts[0].error.contains("final URL"), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_closed() {
    let fixture = Fixture::create().await;
    let pages = PageServer::start().await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&pages.url("/never")).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!((attempts[0].status_code, &*attempts[0].response_body), (Some(200), "<p>Begun"));
    eventually("the connection is closed", async || (pages.holding() == 0).then_some(())).await;
}
