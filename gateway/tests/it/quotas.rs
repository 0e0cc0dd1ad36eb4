//! An account stays under the quotas of its plan, exactly, with 100 creates at once over two gateways (H4).

use std::time::Duration;

use e2e::form::Part;
use e2e::{Answer, Stack, repeated_while};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::testing::eventually;

use crate::app::TestApp;

const AT_ONCE: usize = 100;
const DAY: Duration = Duration::from_hours(24);

const FILE_APP: &str = "name = 'Files'\nprompt = 'x'\ntools = ['read_file']";

/// A stack whose plan has no limit but this one.
async fn stack_with(limit: &str) -> Stack {
    let plan = "api = true\nrequests_per_minute = 10000\napi_keys = 10\nrunning_runs = 1000";
    Stack::create("limited", &format!("[plans.limited]\n{plan}\n{limit}\n")).await
}

async fn two(stack: &Stack) -> [TestApp; 2] {
    [TestApp::start(stack).await, TestApp::start(stack).await]
}

fn body(stack: &Stack) -> Value {
    json!({"appId": stack.app, "inputs": {"text": "hello"}})
}

async fn create(stack: &Stack, gateway: &TestApp) -> Answer {
    stack.post(gateway, "/api/v1/runs", &body(stack)).await
}

/// Sends requests at once, again while a gateway's connections are all busy. Returns how many were accepted;
/// all others are over the quota.
async fn accepted(gateways: &[TestApp; 2], quota: &str, send: impl AsyncFn(&TestApp) -> Answer) -> usize {
    let send = &send;
    let answers =
        join_all((0..AT_ONCE).map(|n| async move {
            repeated_while(&[429, 503], async || send(&gateways[n % 2]).await).await
        }))
        .await;
    let (good, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    for answer in &refused {
        assert_eq!((answer.status, &answer.body["code"]), (409, &"quota_exceeded".into()), "{answer:?}");
        assert_eq!(answer.body["quota"], quota, "{answer:?}");
        assert!(answer.body["used"].is_u64() && answer.body["limit"].is_u64(), "{answer:?}");
    }
    good.len()
}

async fn usage(stack: &Stack, gateway: &TestApp) -> Value {
    stack.get(gateway, "/api/v1/me").await.body["usage"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_pending_runs() {
    let stack = stack_with("max_pending_runs = 7").await;
    let gateways = two(&stack).await;
    let count = accepted(&gateways, "maxPendingRuns", async |gateway| create(&stack, gateway).await).await;
    assert_eq!(count, 7);
    assert_eq!(stack.database.run_sql("SELECT 1 FROM runs").await, 7);
    assert_eq!(usage(&stack, &gateways[0]).await["pendingRuns"], 7);
    let refused = create(&stack, &gateways[0]).await.body;
    assert_eq!((&refused["used"], &refused["limit"]), (&7.into(), &7.into()));
    let one = stack.text("SELECT id::text AS text FROM runs LIMIT 1").await;
    stack.cancel_run(&gateways[1], &one).await;
    assert_eq!(create(&stack, &gateways[0]).await.status, 202, "a cancelled run makes room");
    assert_eq!(create(&stack, &gateways[1]).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_stored_bytes_and_what_a_delete_gives_back() {
    let stack = stack_with("max_stored_bytes = 5500").await;
    let gateways = two(&stack).await;
    let app = stack.import(FILE_APP).await;
    let path = format!("/api/v1/apps/{app}/runs");
    let file: &[Part] = &[("name=\"files\"; filename=\"a\"", &[b'x'; 1000])];
    let send = async |gateway: &TestApp| stack.post_form(gateway, &path, None, file).await;
    assert_eq!(accepted(&gateways, "maxStoredBytes", send).await, 5);
    assert_eq!(usage(&stack, &gateways[0]).await["storedBytes"], 5000);
    assert_eq!(create(&stack, &gateways[0]).await.status, 202, "a run without files needs no room");
    eventually("the files of refused creates are deleted", async || {
        let kept = std::fs::read_dir(stack.artifacts_dir().join("runs")).map_or(0, Iterator::count);
        (kept == 5).then_some(())
    })
    .await;
    let one = stack.text("SELECT run_id::text AS text FROM run_files LIMIT 1").await;
    stack.cancel_run(&gateways[0], &one).await;
    let delete = format!("{}/api/v1/runs/{one}", e2e::Gateway::url(&gateways[0]));
    let deleted = stack.send(stack.client().delete(delete).bearer_auth(&stack.key)).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(usage(&stack, &gateways[1]).await["storedBytes"], 4000);
    assert_eq!(send(&gateways[1]).await.status, 202, "there is room again");
    assert_eq!(send(&gateways[0]).await.status, 409);
    // An account from before the counter.
    stack.database.run_sql("DELETE FROM account_use").await;
    assert_eq!(send(&gateways[0]).await.body["used"], 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_request_bytes_of_a_day() {
    let length = {
        let stack = Stack::pro().await;
        body(&stack).to_string().len()
    };
    let stack = stack_with(&format!("max_request_bytes_per_day = {}", length * 10 + length / 2)).await;
    let gateways = two(&stack).await;
    let send = async |gateway: &TestApp| create(&stack, gateway).await;
    assert_eq!(accepted(&gateways, "maxRequestBytesPerDay", send).await, 10);
    assert_eq!(usage(&stack, &gateways[0]).await["requestBytesToday"], length * 10);
    stack.database.set_clock_ahead(DAY).await;
    assert_eq!(usage(&stack, &gateways[0]).await["requestBytesToday"], 0, "a new day");
    assert_eq!(create(&stack, &gateways[0]).await.status, 202);
    assert_eq!(usage(&stack, &gateways[0]).await["requestBytesToday"], length);
}

/// A typing error costs nothing of the day. Without end, wrong forms would write to the store's disk.
#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_do_not_use_up_the_day_and_have_a_bound_of_their_own() {
    let stack = stack_with("max_request_bytes_per_day = 3000000").await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    let file = vec![b'x'; 900_000];
    let wrong: &[Part] = &[("name=\"nothing\"; filename=\"a\"", &file)];
    let right: &[Part] = &[("name=\"files\"; filename=\"a\"", &file)];
    for _ in 0..3 {
        let refused = stack.post_form(&gateway, &path, None, wrong).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert_eq!(usage(&stack, &gateway).await["requestBytesToday"], 0);
    assert_eq!(stack.post_form(&gateway, &path, Some("once"), right).await.status, 202);
    assert_eq!(stack.post_form(&gateway, &path, None, wrong).await.status, 400);
    let too_many = stack.post_form(&gateway, &path, None, right).await;
    assert!(too_many.status == 429 && too_many.headers.contains_key("retry-after"), "{too_many:?}");
    assert!(too_many.body["detail"].as_str().unwrap().contains("dryRun=true"), "{too_many:?}");
    let dry = stack.post_form(&gateway, &format!("{path}?dryRun=true"), None, right).await;
    assert_eq!(dry.status, 200, "a dry run stores nothing: {dry:?}");
    assert_eq!(stack.post_form(&gateway, &path, Some("once"), right).await.status, 202, "nor a replay");
    assert_eq!(create(&stack, &gateway).await.status, 202, "creates without files go on");
}

/// A file that can never fit is refused before it is read, and a replay stores nothing.
#[tokio::test(flavor = "multi_thread")]
async fn refused_and_repeated_files_do_not_use_up_the_day() {
    let stack = stack_with("max_stored_bytes = 2000000\nmax_request_bytes_per_day = 50000000").await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    let (large, small) = (vec![b'x'; 6_000_000], vec![b'x'; 1_500_000]);
    for _ in 0..3 {
        let form: &[Part] = &[("name=\"files\"; filename=\"a\"", &large)];
        let refused = stack.post_form(&gateway, &path, None, form).await;
        assert_eq!((refused.status, &refused.body["quota"]), (409, &"maxStoredBytes".into()), "{refused:?}");
    }
    assert_eq!(usage(&stack, &gateway).await["requestBytesToday"], 0);
    let form: &[Part] = &[("name=\"files\"; filename=\"a\"", &small)];
    assert_eq!(stack.post_form(&gateway, &path, Some("once"), form).await.status, 202);
    let once = usage(&stack, &gateway).await["requestBytesToday"].clone();
    assert_eq!(stack.post_form(&gateway, &path, Some("once"), form).await.status, 202);
    eventually("the files of the replay are deleted", async || {
        let kept = std::fs::read_dir(stack.artifacts_dir().join("runs")).map_or(0, Iterator::count);
        (kept == 1).then_some(())
    })
    .await;
    assert_eq!(usage(&stack, &gateway).await["requestBytesToday"], once);
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_stop_when_the_tokens_of_a_day_are_used() {
    let stack = stack_with("max_tokens_per_day = 100").await;
    let gateway = TestApp::start(&stack).await;
    let spend = "SELECT use_account_v1(id, 60, 0) FROM users";
    stack.database.run_sql(spend).await;
    assert_eq!(create(&stack, &gateway).await.status, 202);
    stack.database.run_sql(spend).await;
    let refused = create(&stack, &gateway).await;
    assert_eq!((refused.status, &refused.body["quota"]), (409, &"maxTokensPerDay".into()), "{refused:?}");
    assert_eq!((&refused.body["used"], &refused.body["limit"]), (&120.into(), &100.into()));
    assert_eq!(usage(&stack, &gateway).await["tokensToday"], 120);
    stack.database.set_clock_ahead(DAY).await;
    assert_eq!(create(&stack, &gateway).await.status, 202, "a new day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_answered_and_a_dry_run_is_refused_when_a_quota_is_used_up() {
    let stack = stack_with("max_pending_runs = 1\nmax_stored_bytes = 2000000").await;
    let gateway = TestApp::start(&stack).await;
    let app = stack.import(FILE_APP).await;
    let path = format!("/api/v1/apps/{app}/runs");
    let file = vec![b'x'; 1_500_000];
    let form: &[Part] = &[("name=\"files\"; filename=\"a\"", &file)];
    let first = stack.post_form(&gateway, &path, Some("once"), form).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = stack.post_form(&gateway, &path, Some("once"), form).await;
    assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]), "{again:?}");
    let other = stack.post_form(&gateway, &path, Some("other"), form).await;
    assert_eq!((other.status, &other.body["quota"]), (409, &"maxPendingRuns".into()), "{other:?}");
    for path in ["/api/v1/runs", "/api/v1/runs?dryRun=true"] {
        let refused = stack.post(&gateway, path, &body(&stack)).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &"quota_exceeded".into()), "{refused:?}");
    }
    let wrong = stack.post(&gateway, "/api/v1/runs", &json!({"appId": stack.app})).await;
    assert_eq!(wrong.status, 400, "what is wrong with the request comes first: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sign_up_needs_every_limit_of_its_plan() {
    let plan = "[plans.free]\napi = false\nrequests_per_minute = 30\napi_keys = 1\nrunning_runs = 1\n\
                max_pending_runs = 5\nmax_steps = 10\n";
    let stack = Stack::create("pro", plan).await;
    let config = crate::app::config(&stack.settings_with("CAPI_SIGNUP", "open"));
    let Err(refused) = gateway::start(&config, None).await else { panic!("the gateway starts") };
    let said = format!("{refused:#}");
    assert!(said.contains("CAPI_SIGNUP=open") && said.contains("plan free"), "{said}");
    for field in
        ["max_stored_bytes", "max_tokens_per_day", "max_seconds", "max_output_bytes", "retention_days"]
    {
        assert!(said.contains(field), "{field}: {said}");
    }
    assert!(!said.contains("max_pending_runs") && !said.contains("max_steps"), "{said}");
    drop(TestApp::start(&stack).await);
}
