//! Deliveries of events that do not end a run, deliveries that are sent again, and tests.

use std::time::Duration;

use shared::testing::{ReceivedWebhook, WebhookReceiver, eventually};

use crate::fixture::Fixture;

/// Longer than the wait before the second attempt, shorter than a lease.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const THREE_DAYS: Duration = Duration::from_hours(73);

#[tokio::test(flavor = "multi_thread")]
async fn the_start_and_the_files_of_a_run_are_delivered() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([503]).await;
    let run = fixture.run_to(&receiver.url()).await;
    for sql in [
        "UPDATE runs SET webhook_events = '{run.started,run.artifact}'",
        "UPDATE runs SET status = 'running', attempt = 1, lease_owner = 'w', started_at = capi_now(),
                lease_expires_at = capi_now() + interval '1 hour'",
        "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
         SELECT gen_random_uuid(), id, 'text/plain', 'a.txt', 1, sha256('') FROM runs",
    ] {
        assert_eq!(fixture.database.run_sql(sql).await, 1, "{sql}");
    }
    let _dispatcher = fixture.start().await;
    let delivered = async |count: &str| {
        let sql = "SELECT count(*)::text AS text FROM webhook_deliveries WHERE status = 'delivered'";
        (fixture.text(sql).await == count).then_some(())
    };
    eventually("the first is delivered", async || delivered("1").await).await;
    fixture.let_pass(FIRST_RETRY).await;
    eventually("the refused one is tried again", async || delivered("2").await).await;
    let requests = receiver.received();
    assert_eq!((requests.len(), &requests[0].headers["webhook-id"]), (3, &requests[2].headers["webhook-id"]));
    let of =
        |kind: &str| requests.iter().map(ReceivedWebhook::json).find(|body| body["type"] == kind).unwrap();
    let (started, artifact) = (of("run.started"), of("run.artifact"));
    assert_eq!(
        (&started["data"]["status"], &started["data"]["id"]),
        (&"running".into(), &run.to_string().into())
    );
    assert!(started.get("artifact").is_none());
    assert_eq!(
        (&artifact["artifact"]["title"], &artifact["data"]["id"]),
        (&"a.txt".into(), &run.to_string().into())
    );
    assert!(artifact["artifact"]["downloadUrl"].as_str().unwrap().contains("signature="));
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_starts_a_new_schedule_under_the_same_id() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([410, 500]).await;
    let _dispatcher = fixture.start().await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    fixture.attempts_when(run, "failed").await;
    // Later than the end of the first schedule, after as many attempts as it has.
    fixture.let_pass(THREE_DAYS).await;
    let again =
        "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = 'infinity', attempt = 10,
                        due_at = capi_now(), earlier_attempts = 10, scheduled_at = capi_now()";
    fixture.database.run_sql(again).await;
    fixture.attempts_when(run, "retrying").await;
    fixture.let_pass(THREE_DAYS + FIRST_RETRY).await;
    let attempts = fixture.attempts_when(run, "delivered").await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 11, 12]);
    let requests = receiver.received();
    let ids: Vec<_> = requests.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!((ids.len(), ids[0] == ids[1] && ids[1] == ids[2]), (3, true));
    let codes =
        "SELECT string_agg(coalesce(error_code, '-'), ' ' ORDER BY number) AS text FROM webhook_attempts";
    assert_eq!(fixture.text(codes).await, "status status -");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_once_and_only_in_time() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::saying([500], b"no").await;
    fixture.ping(&receiver.url(), "0 s").await;
    fixture.ping(&receiver.url(), "25 s").await;
    let _dispatcher = fixture.start().await;
    let results = "SELECT coalesce(string_agg(concat_ws(' ', coalesce(status_code::text, '-'), error_code,
                       coalesce(response_body, '-')), ', ' ORDER BY status_code), '') AS text
                   FROM webhook_attempts a
                   JOIN webhook_deliveries d ON d.id = a.delivery_id AND d.status = 'failed'";
    let expected = "500 status no, - not_sent -";
    eventually("both are over", async || (fixture.text(results).await == expected).then_some(())).await;
    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (&requests[0].json()["type"], &requests[0].json()["data"]),
        (&"ping".into(), &serde_json::json!({}))
    );
    assert!(requests[0].headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(webhook_dispatcher::ping_cleanup::delete_batch(&fixture.database.db).await.unwrap(), 0);
    fixture.let_pass(Duration::from_hours(25)).await;
    assert_eq!(webhook_dispatcher::ping_cleanup::delete_batch(&fixture.database.db).await.unwrap(), 2);
    assert_eq!(fixture.text("SELECT count(*)::text AS text FROM webhook_attempts").await, "0");
}
