//! Webhook deliveries over HTTP: lists, sending again, tests, and the events that a create asks for.

use std::time::{Duration, Instant};

use e2e::accounts::{NewKey, Scopes};
use e2e::{Answer, Gateway, Stack};
use serde_json::{Value, json};

use crate::app::TestApp;

const RECEIVER: &str = "http://127.0.0.1:9999/hook";
const LIST: &str = "/api/v1/webhook-deliveries";

/// Ends a run with a webhook; the ids of the run and of its delivery.
async fn deliver(stack: &Stack, gateway: &TestApp) -> (String, String) {
    let run = stack.create_run(gateway, "hello", Some(RECEIVER)).await;
    stack.cancel_run(gateway, &run).await;
    let shown = stack.get(gateway, &format!("/api/v1/runs/{run}")).await.body;
    let delivery = shown["webhook"]["deliveryId"].as_str().unwrap_or_else(|| panic!("{shown}"));
    (run, delivery.to_owned())
}

/// Records a failed attempt of all deliveries, which end with this status.
async fn attempt(stack: &Stack, delivery: &str, status: &str) {
    let next = if status == "retrying" { "capi_now() + interval '1 hour'" } else { "NULL" };
    for sql in [
        format!(
            "UPDATE webhook_deliveries SET status = '{status}', attempt = attempt + 1, due_at = NULL,
             next_attempt_at = {next} WHERE id = '{delivery}'"
        ),
        format!(
            "INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms, status_code, error,
                                           error_code, response_body)
             SELECT id, attempt, capi_now(), 12, 500, 'The receiver answered 500.', 'status', 'busy'
             FROM webhook_deliveries WHERE id = '{delivery}'"
        ),
    ] {
        assert_eq!(stack.database.run_sql(sql).await, 1);
    }
}

fn ids(page: &Answer) -> Vec<String> {
    let items = page.body["data"].as_array().unwrap_or_else(|| panic!("{page:?}"));
    items.iter().map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_with_their_attempts() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(deliver(&stack, &gateway).await);
    }
    attempt(&stack, &made[1].1, "retrying").await;
    attempt(&stack, &made[2].1, "failed").await;
    let list = async |query: &str| stack.get(&gateway, &format!("{LIST}{query}")).await;
    let newest_first: Vec<_> = made.iter().rev().map(|(_, delivery)| delivery.clone()).collect();
    assert_eq!(ids(&list("").await), newest_first);
    assert_eq!(ids(&list("?status=failed").await), [made[2].1.clone()]);
    assert_eq!(ids(&list("?status=retrying&status=failed").await), [made[2].1.clone(), made[1].1.clone()]);
    assert_eq!(ids(&list("?status=delivered").await), Vec::<String>::new());
    assert_eq!(ids(&list(&format!("?runId={}", made[3].0)).await), [made[3].1.clone()]);
    let at = list("").await.body["data"][2]["createdAt"].as_str().unwrap().to_owned();
    assert_eq!(ids(&list(&format!("?createdBefore={at}")).await), [made[1].1.clone(), made[0].1.clone()]);
    assert_eq!(ids(&list("?createdAfter=2100-01-01T00:00:00Z").await), Vec::<String>::new());

    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&query).await;
        seen.extend(ids(&page));
        assert!(seen.len() <= made.len(), "it goes on for ever: {seen:?}");
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        query = format!("?cursor={cursor}&limit=2");
    }
    assert_eq!(seen, newest_first);
    let cursor = list("?status=pending&limit=1").await.body["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(list(&format!("?cursor={cursor}&status=failed")).await.status, 400, "other filters");

    let one = stack.get(&gateway, &format!("{LIST}/{}", made[1].1)).await.body;
    assert_eq!((&one["status"], &one["type"]), (&"retrying".into(), &"run.cancelled".into()));
    assert_eq!((&one["runId"], &one["url"]), (&made[1].0.clone().into(), &RECEIVER.into()));
    assert!(one["nextAttemptAt"].is_string() && one["createdAt"].is_string(), "{one}");
    let tried = &one["attempts"][0];
    assert_eq!(
        (&tried["number"], &tried["statusCode"], &tried["durationMs"]),
        (&1.into(), &500.into(), &12.into())
    );
    assert_eq!(
        (&tried["error"], &tried["errorMessage"]),
        (&"status".into(), &"The receiver answered 500.".into())
    );
    assert_eq!(tried["responseBody"], "busy");
    let in_list = list(&format!("?runId={}", made[1].0)).await.body;
    assert_eq!(in_list["data"][0]["attempts"][0]["responseBody"], Value::Null);

    let run = stack.get(&gateway, &format!("/api/v1/runs/{}", made[1].0)).await.body;
    let webhook = &run["webhook"];
    assert_eq!((&webhook["status"], &webhook["attempts"]), (&"retrying".into(), &1.into()));
    let why = json!({"code": "status", "message": "The receiver answered 500."});
    assert_eq!((&webhook["lastError"], &webhook["nextAttemptAt"]), (&why, &one["nextAttemptAt"]));
    assert_eq!(run["webhookEvents"], json!(["run.completed", "run.failed", "run.cancelled"]));
}

/// Attempts that a former version recorded have a sentence and no code.
#[tokio::test(flavor = "multi_thread")]
async fn old_attempts_have_codes_too() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let (_, delivery) = deliver(&stack, &gateway).await;
    attempt(&stack, &delivery, "failed").await;
    for (sentence, status, code) in [
        ("NULL", "204", Value::Null),
        ("'The receiver answered 500.'", "500", "status".into()),
        ("'The host name cannot be resolved.'", "NULL", "dns_failed".into()),
        ("'The host did not send its whole answer in time.'", "200", "timeout".into()),
        ("'The run or the signing secret no longer exists.'", "NULL", "not_sent".into()),
    ] {
        let old = format!(
            "UPDATE webhook_attempts SET error_code = NULL, error = {sentence}, status_code = {status}"
        );
        stack.database.run_sql(old).await;
        let shown = stack.get(&gateway, &format!("{LIST}/{delivery}")).await.body;
        assert_eq!(shown["attempts"][0]["error"], code, "{sentence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_over_is_sent_again() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let (run, delivery) = deliver(&stack, &gateway).await;
    let path = format!("{LIST}/{delivery}/redeliver");
    let again = async || stack.post(&gateway, &path, &json!({})).await;
    let due = again().await;
    assert_eq!((due.status, &due.body["code"]), (409, &"delivery_not_finished".into()), "{due:?}");
    assert!(due.body["detail"].as_str().unwrap().contains("next attempt is due at"), "{due:?}");
    let lease =
        "UPDATE webhook_deliveries SET lease_owner = 'd', lease_expires_at = capi_now() + interval '9 s'";
    stack.database.run_sql(lease).await;
    assert!(again().await.body["detail"].as_str().unwrap().contains("in flight"));
    stack.database.run_sql("UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL").await;

    attempt(&stack, &delivery, "failed").await;
    let sent = again().await;
    assert_eq!((sent.status, &sent.body["status"]), (202, &"pending".into()), "{sent:?}");
    assert_eq!((&sent.body["id"], &sent.body["runId"]), (&delivery.clone().into(), &run.clone().into()));
    assert_eq!(sent.body["attempts"].as_array().map(Vec::len), Some(1), "the earlier ones stay");
    assert_eq!(again().await.status, 409, "it is due now");
    let fresh = "SELECT earlier_attempts || ' ' || next_attempt_at || ' '
                     || (due_at - scheduled_at < interval '1 s') AS text
                 FROM webhook_deliveries";
    assert_eq!(stack.text(fresh).await, "1 infinity true");
    // A dispatcher of the former version does not claim it: it would count the attempts before.
    let old = "SELECT count(*)::text AS text
               FROM webhook_lanes l, claim_delivery_v1(l.id, 'old', interval '9 s', 4)";
    assert_eq!(stack.text(old).await, "0");
    let new = "SELECT count(*)::text AS text
               FROM webhook_lanes l, claim_delivery_v2(l.id, 'new', interval '9 s', 4, '{}', '{}', true)";
    assert_eq!(stack.text(new).await, "1");
    let deleted = stack.client().delete(format!("{}/api/v1/runs/{run}", gateway.url()));
    assert_eq!(stack.send(deleted.bearer_auth(&stack.key)).await.status, 204);
    assert_eq!(stack.get(&gateway, &format!("{LIST}/{delivery}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_app_sees_the_deliveries_of_its_runs() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let (_, delivery) = deliver(&stack, &gateway).await;
    attempt(&stack, &delivery, "failed").await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await.parse().unwrap();
    for (app, seen) in [(other, false), (stack.app, true)] {
        let key = NewKey { name: format!("{seen}"), app: Some(app), days: None, scopes: Scopes::DEFAULT };
        let key = stack.try_create_key(&key).await.unwrap();
        let url = |path: &str| format!("{}{LIST}{path}", gateway.url());
        let listed = stack.send(stack.client().get(url("")).bearer_auth(&key)).await;
        assert_eq!(ids(&listed).len(), usize::from(seen));
        let got = stack.send(stack.client().get(url(&format!("/{delivery}"))).bearer_auth(&key)).await;
        assert_eq!(got.status, if seen { 200 } else { 404 });
        let path = format!("/{delivery}/redeliver");
        let sent = stack.send(stack.client().post(url(&path)).bearer_auth(&key)).await;
        assert_eq!(sent.status, if seen { 202 } else { 404 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_without_a_dispatcher_ends_soon_and_sends_nothing_later() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let begun = Instant::now();
    let test = stack.post(&gateway, "/api/v1/webhooks/test", &json!({"url": RECEIVER})).await;
    assert_eq!((test.status, &test.body["code"]), (503, &"unavailable".into()), "{test:?}");
    assert!(test.body["detail"].as_str().unwrap().contains("no webhook-dispatcher"), "{test:?}");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    let left = "SELECT type || ' ' || status AS text FROM webhook_deliveries";
    assert_eq!(stack.text(left).await, "ping failed", "withdrawn");
    assert_eq!(ids(&stack.get(&gateway, LIST).await), Vec::<String>::new(), "no part of the list");
    stack
        .database
        .run_sql(
            "INSERT INTO webhook_deliveries (id, lane_id, user_id, type, url, status, created_at)
             SELECT gen_random_uuid(), lane_id, user_id, 'ping', url, 'failed', capi_now()
             FROM webhook_deliveries, generate_series(1, 9)",
        )
        .await;
    let eleventh = stack.post(&gateway, "/api/v1/webhooks/test", &json!({"url": RECEIVER})).await;
    assert_eq!((eleventh.status, &eleventh.body["code"]), (429, &"rate_limited".into()), "{eleventh:?}");
    assert_eq!(eleventh.headers["retry-after"], "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_sends_the_events_that_its_create_lists() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let create = async |events: Value| {
        let body = json!({
            "appId": stack.app, "inputs": {"text": "x"}, "webhookUrl": RECEIVER, "webhookEvents": events,
        });
        let answer = stack.post(&gateway, "/api/v1/runs", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    };
    let types = async |run: &str| {
        let page = stack.get(&gateway, &format!("{LIST}?runId={run}")).await;
        let items = page.body["data"].as_array().unwrap().clone();
        let mut types: Vec<_> = items.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect();
        types.sort_unstable();
        types
    };
    let some = create(json!(["run.started", "run.artifact", "run.failed"])).await;
    let start = format!(
        "UPDATE runs SET status = 'running', attempt = 1, lease_owner = 'w',
         lease_expires_at = capi_now() + interval '1 min', started_at = capi_now() WHERE id = '{some}'"
    );
    stack.database.run_sql(start).await;
    assert_eq!(types(&some).await, ["run.started"]);
    stack.database.run_sql(format!("UPDATE runs SET status = 'running' WHERE id = '{some}'")).await;
    let artifact = shared::ids::ArtifactId::generate();
    stack.add_artifact(some.parse().unwrap(), artifact, "text/plain", "a.txt", "a".into()).await;
    stack.cancel_run(&gateway, &some).await;
    assert_eq!(types(&some).await, ["run.artifact", "run.started"], "a cancel is not listed");
    let shown = stack.get(&gateway, &format!("/api/v1/runs/{some}")).await.body;
    assert_eq!(shown["webhookEvents"], json!(["run.started", "run.artifact", "run.failed"]));
    assert_eq!(
        (&shown["webhook"]["status"], &shown["webhook"]["deliveryId"]),
        (&"skipped".into(), &Value::Null)
    );

    let all = create(Value::Null).await;
    stack.cancel_run(&gateway, &all).await;
    assert_eq!(types(&all).await, ["run.cancelled"]);

    // Dispatchers of the former version cannot render the new events.
    let old = "SELECT string_agg(c.type, ' ') AS text
               FROM webhook_lanes l, generate_series(1, 4),
                    claim_delivery_v1(l.id, 'old', interval '9 s', 4) c";
    assert_eq!(stack.text(old).await, "run.cancelled");
    let delete = stack.client().delete(format!("{}/api/v1/runs/{some}", gateway.url()));
    assert_eq!(stack.send(delete.bearer_auth(&stack.key)).await.status, 204);
    assert_eq!(types(&some).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etag_covers_the_webhook_and_stays_otherwise() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let (run, delivery) = deliver(&stack, &gateway).await;
    let artifact = shared::ids::ArtifactId::generate();
    stack.add_artifact(run.parse().unwrap(), artifact, "text/plain", "a.txt", "a".into()).await;
    let url = format!("{}/api/v1/runs/{run}", gateway.url());
    let get = async |tag: &str| {
        stack.send(stack.client().get(&url).bearer_auth(&stack.key).header("if-none-match", tag)).await
    };
    let tag = async || get("\"none\"").await.headers["etag"].to_str().unwrap().to_owned();
    let mut known = tag().await;
    assert_eq!(get(&known).await.status, 304);
    for status in ["retrying", "failed"] {
        attempt(&stack, &delivery, status).await;
        let changed = get(&known).await;
        assert_eq!((changed.status, &changed.body["webhook"]["status"]), (200, &status.into()));
        known = tag().await;
        // The links to artifacts are signed anew, and stay the same for an hour.
        assert_eq!(get(&known).await.status, 304, "{status}");
    }
}
