//! Deliveries for which no request is sent.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use shared::config::Networks;
use shared::testing::{WebhookReceiver, eventually};

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_public_address_gets_no_request() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture
        .start_with(|config| config.webhook_networks.webhook_allowed_networks = Networks::default())
        .await;
    for (url, expected) in [
        (receiver.url(), "127.0.0.1, which is not a public address"),
        (receiver.url().replace("127.0.0.1", "localhost"), "points to localhost, which is"),
    ] {
        let (run, _) = fixture.deliver_to(&url).await;
        let attempts = fixture.attempts_when(run, "retrying").await;
        assert_eq!(attempts[0].status_code, None);
        assert!(attempts[0].error.contains(expected), "{attempts:?}");
    }
    assert!(receiver.received().is_empty());
}

/// The networks of a plan replace those of everyone, and the plan at the time of the attempt counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_networks_of_the_accounts_plan_decide() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let file = std::env::temp_dir().join(format!("capi-dispatcher-plans-{}.toml", std::process::id()));
    let plan = |name: &str, networks: &str| {
        let limits = "api = true\nrequests_per_minute = 5\napi_keys = 1\nrunning_runs = 1";
        format!("[plans.{name}]\n{limits}\nwebhook_networks = [{networks}]\n")
    };
    std::fs::write(&file, plan("pro", "") + &plan("inside", "'127.0.0.0/8'")).unwrap();
    let _dispatcher = fixture.start_with(|config| config.plans.plans = Some(file.clone())).await;
    std::fs::remove_file(file).unwrap();
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert!(attempts[0].error.contains("not a public address"), "{attempts:?}");
    fixture.database.run_sql("UPDATE users SET plan = 'inside'").await;
    fixture.let_pass(Duration::from_secs(10)).await;
    fixture.attempts_when(run, "delivered").await;
    fixture.database.run_sql("UPDATE users SET plan = 'unknown to the dispatcher'").await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert!(attempts[0].error.contains("not a public address"), "{attempts:?}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_inside_is_not_stored() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::saying([500], b"internal secret").await;
    let _dispatcher = fixture.start_with(|config| config.also_public = Networks::default()).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert_eq!((attempts[0].status_code, &*attempts[0].response_body), (Some(500), ""), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_decrypted_is_named() {
    let fixture = Fixture::create().await;
    fixture.database.run_sql("DELETE FROM webhook_secrets").await;
    fixture.rotate_secret(&[1; 32]).await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let attempts = fixture.attempts_when(run, "retrying").await;
    assert!(attempts[0].error.contains("CAPI_SECRET_KEY"), "{attempts:?}");
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_attempts_are_never_recorded_ends() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    fixture.database.run_sql("UPDATE webhook_deliveries SET attempt = 10").await;
    let _dispatcher = fixture.start().await;
    let attempts = fixture.attempts_when(run, "failed").await;
    assert!(attempts[0].error.contains("could not be recorded"), "{attempts:?}");
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_given_back_for_a_slow_database_is_no_attempt() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    let mut conn = fixture.database.conn().await;
    // The statement that loads the runs reads this table.
    let lock = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;
                LOCK TABLE run_files IN ACCESS EXCLUSIVE MODE";
    conn.batch_execute(lock).await.unwrap();
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let claims = |what: &str| format!("SELECT ({what})::text AS text FROM webhook_deliveries");
    let wait_for = async |what: &str| {
        eventually(what, async || (fixture.text(claims(what)).await == "true").then_some(())).await;
    };
    wait_for("lease_owner IS NOT NULL AND attempt = 1").await;
    wait_for("lease_owner IS NULL AND attempt = 0 AND next_attempt_at > capi_now()").await;
    conn.batch_execute("COMMIT").await.unwrap();
    fixture.let_pass(Duration::from_secs(10)).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1]);
}
