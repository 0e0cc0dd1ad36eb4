//! What the gateway answers while the database is stuck, or busy with a report.

use std::time::{Duration, Instant};

use e2e::console::EMAIL;
use e2e::{Answer, Gateway, Stack};
use futures_util::future::join_all;
use serde_json::json;
use shared::testing::eventually;

use crate::app::TestApp;

/// With this, commits of new runs hang while another session holds the lock. As with a synchronous standby
/// that is away, no timeout of PostgreSQL ends them.
const HANGING: [&str; 2] = [
    "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0
     AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER hanging AFTER INSERT ON runs DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION hang()",
];
/// CAPI_DATABASE_POOL_SIZE of a stack.
const POOL: usize = 6;
/// Two waits of 3 s, one in the queue and one for the answer, on a busy machine.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(12);

async fn create(stack: &Stack, gateway: &TestApp, key: &str) -> (Answer, Duration) {
    let sent = Instant::now();
    let body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
    (stack.send(request.header("idempotency-key", key).json(&body)).await, sent.elapsed())
}

/// Case 4.
#[tokio::test(flavor = "multi_thread")]
async fn creates_whose_commits_hang_are_given_up_and_then_refused_at_once() {
    const SESSIONS: &str = "SELECT count(*)::text AS text FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'capi-gateway'";
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    assert_eq!(create(&stack, &gateway, "before").await.0.status, 202);
    for sql in HANGING {
        stack.database.run_sql(sql).await;
    }
    let lock = stack.meanwhile("SELECT pg_advisory_xact_lock(4711)").await;
    let mut keys: Vec<_> = (0..10).map(|n| format!("key-{n}")).collect();
    for (answer, took) in join_all(keys.iter().map(|key| create(&stack, &gateway, key))).await {
        assert_eq!((answer.status, &answer.body["code"]), (503, &"unavailable".into()), "{answer:?}");
        assert!(took < GIVES_UP_WITHIN, "{took:?}");
    }
    eventually("creates are refused at once", async || {
        // With the same key it would wait for the lock of the earlier create, which has a limit.
        keys.push(format!("key-{}", keys.len()));
        let (answer, took) = create(&stack, &gateway, &keys[keys.len() - 1]).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        (took < Duration::from_millis(500)).then_some(())
    })
    .await;
    let sessions: usize = stack.text(SESSIONS).await.parse().unwrap();
    assert!(sessions <= POOL, "nothing replaces connections in doubt: {sessions}");
    drop(lock);
    for key in &keys {
        eventually("creates are accepted again", async || {
            (create(&stack, &gateway, key).await.0.status == 202).then_some(())
        })
        .await;
    }
    let runs = stack.text("SELECT count(*)::text AS text FROM runs").await;
    assert_eq!(runs, (keys.len() + 1).to_string(), "each key has one run");
}

/// Case 13.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_report_at_a_time_and_it_delays_no_other_request() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let load = async || stack.page(&gateway, "/account/usage", &session.cookie).await;
    assert_eq!(load().await.0, 200);
    let lock = stack.meanwhile("SELECT 1 FROM usage_cursors FOR UPDATE").await;
    let meanwhile = async {
        let waiting = "SELECT count(*)::text AS text FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'
                         AND application_name = 'capi-gateway-reports'";
        eventually("the report waits", async || (stack.text(waiting).await == "1").then_some(())).await;
        let second = load().await;
        stack.create_run_once(&gateway, "hello").await;
        second
    };
    let (first, second) = tokio::join!(load(), meanwhile);
    assert!(second.0 == 429 && second.1.contains("Wait 1 s, then try again."), "{second:?}");
    assert_eq!(first.0, 200, "it counts without the sums: {first:?}");
    drop(lock);
    let again = load().await;
    assert!(again.0 == 200 && again.1.contains("1 runs"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stuck_is_unavailable_and_not_our_fault() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    stack.create_run(&gateway, "hello", None).await;
    let lock = stack.meanwhile("SELECT 1 FROM rate_windows FOR UPDATE").await;
    let answer = stack.get_once(&gateway, "/api/agentapps").await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &"unavailable".into()), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    drop(lock);
    eventually("it works again", async || {
        (stack.get(&gateway, "/api/agentapps").await.status == 200).then_some(())
    })
    .await;
}
