//! API keys: who gets in, who does not, and that it is the same on every gateway (K3, K6, K7).

use std::time::Duration;

use e2e::accounts::{ApiKey, EMAIL, KeyRefusal, NewKey, Scopes};
use e2e::{Answer, Gateway, Stack};
use futures_util::future::join_all;
use serde_json::json;

use crate::app::TestApp;

async fn get_with(stack: &Stack, gateway: &TestApp, path: &str, key: &str) -> Answer {
    stack.send(stack.client().get(format!("{}{path}", gateway.url())).bearer_auth(key)).await
}

fn new_key(name: &str) -> NewKey {
    NewKey { name: name.to_owned(), app: None, days: None, scopes: Scopes::DEFAULT }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_keys_are_refused_everywhere_and_told_apart_nowhere() {
    let stack = Stack::unlimited().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await];
    let revoked = stack.create_key("revoked").await;
    let expired = NewKey { days: Some(1), ..new_key("expired") };
    let expired = stack.try_create_key(&expired).await.unwrap();
    for gateway in &gateways {
        for key in [&revoked, &expired] {
            assert_eq!(get_with(&stack, gateway, "/api/v1/me", key).await.status, 200);
        }
    }
    stack.revoke_key("revoked").await;
    stack
        .database
        .run_sql("UPDATE api_keys SET expires_at = capi_now() - interval '1 s' WHERE name = 'expired'")
        .await;
    let unknown = ApiKey::generate();
    let expected = get_with(&stack, &gateways[0], "/api/v1/me", unknown.reveal()).await;
    assert_eq!((expected.status, &expected.body["code"]), (401, &"unauthorized".into()));
    for gateway in &gateways {
        for key in [&revoked, &expired] {
            let refused = get_with(&stack, gateway, "/api/v1/me", key).await;
            assert_eq!(refused.status, 401, "on the next request, everywhere");
            assert_eq!(refused.without_request_id(), expected.without_request_id());
            assert_eq!(refused.headers["www-authenticate"], expected.headers["www-authenticate"]);
        }
    }
    let listed = stack.keys().await;
    for (name, state) in [("revoked", "revoked"), ("expired", "expired"), ("test", "active")] {
        assert!(listed.iter().any(|key| key.name == name && key.state == state), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scoped_key_sees_its_app_alone() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await;
    let run = stack.create_run(&gateway, "hello", None).await;
    let foreign = NewKey { app: Some(run.parse().unwrap()), ..new_key("x") };
    let foreign = stack.try_create_key(&foreign).await;
    assert!(matches!(foreign, Err(KeyRefusal::NoApp)), "{foreign:?}");
    let scoped = NewKey { app: Some(other.parse().unwrap()), ..new_key("scoped") };
    let scoped = stack.try_create_key(&scoped).await.unwrap();

    let me = get_with(&stack, &gateway, "/api/v1/me", &scoped).await.body;
    assert_eq!((&me["key"]["appId"], &me["key"]["name"]), (&other.as_str().into(), &"scoped".into()));
    let apps = get_with(&stack, &gateway, "/api/agentapps", &scoped).await.body;
    assert_eq!(apps["data"].as_array().unwrap().len(), 1);
    assert_eq!(apps["data"][0]["id"], other);
    let runs = get_with(&stack, &gateway, "/api/v1/runs", &scoped).await.body;
    assert_eq!(runs["data"], json!([]), "the other app's run is not listed");
    let filtered = format!("/api/v1/runs?appId={}", stack.app);
    assert_eq!(get_with(&stack, &gateway, &filtered, &scoped).await.body["data"], json!([]));
    for path in [
        format!("/api/v1/apps/{}", stack.app),
        format!("/api/v1/apps/{}/runs", stack.app),
        format!("/api/v1/runs/{run}"),
        format!("/api/v1/apps/{}/runs/{run}", stack.app),
        format!("/api/v1/apps/{other}/runs/{run}"),
    ] {
        assert_eq!(get_with(&stack, &gateway, &path, &scoped).await.status, 404, "{path}");
    }
    let post = |path: String| {
        stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&scoped).json(&json!({}))
    };
    for path in [format!("/api/v1/apps/{}/runs", stack.app), format!("/api/v1/runs/{run}/cancel")] {
        assert_eq!(stack.send(post(path.clone())).await.status, 404, "{path}");
    }
    assert_eq!(stack.send(post(format!("/api/v1/apps/{other}/runs"))).await.status, 202);
    assert_eq!(get_with(&stack, &gateway, "/api/v1/runs", &scoped).await.body["data"][0]["appName"], "Other");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_follow_the_plan() {
    let stack = Stack::pro().await;
    let gateway = TestApp::start(&stack).await;
    stack.set_plan(EMAIL, "free").await;
    let refused = stack.get(&gateway, "/api/agentapps").await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &"plan_required".into()));
    let refused = stack.try_create_key(&new_key("x")).await;
    assert!(matches!(&refused, Err(KeyRefusal::Plan(plan)) if plan == "free"), "{refused:?}");
    stack.set_plan(EMAIL, "team").await;
    let back = stack.get(&gateway, "/api/v1/me").await;
    assert_eq!((back.status, &back.body["user"]["plan"]), (200, &"team".into()), "they come back with it");
    assert_eq!(back.headers["ratelimit-policy"], "\"user\";q=300;w=60");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_keys_are_active_however_many_are_created_at_once() {
    let stack = Stack::pro().await;
    let new = &new_key("many");
    let create = || stack.try_create_key(new);
    let made = join_all((0..20).map(|_| create())).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 9, "the stack has one already");
    assert!(
        made.iter().filter_map(|made| made.as_ref().err()).all(|why| matches!(why, KeyRefusal::Full(10)))
    );
    let eleventh = stack.try_create_key(&new_key("11th")).await;
    assert!(matches!(eleventh, Err(KeyRefusal::Full(10))), "{eleventh:?}");
    stack.revoke_key("many").await;
    stack.database.run_sql("UPDATE api_keys SET expires_at = capi_now() WHERE name = 'test'").await;
    assert!(create().await.is_ok() && create().await.is_ok(), "a revoked and an expired one make room");
    assert!(create().await.is_err());
}

/// The database stands still, so that a request which needs a statement is answered 503.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_key_costs_no_statement() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = TestApp::start_as(&settings).await;
    assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200);
    proxy.freeze();
    for _ in 0..5 {
        let refused = get_with(&stack, &gateway, "/api/v1/models", &stack.mistyped_key()).await;
        assert_eq!(refused.status, 401);
        assert!(refused.body["detail"].as_str().unwrap().contains("checksum"), "{refused:?}");
    }
    assert_eq!(stack.get_once(&gateway, "/api/v1/models").await.status, 503, "a right key costs a statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let used = async || {
        assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200);
        stack.text("SELECT coalesce(last_used_at::text, 'never') AS text FROM api_keys").await
    };
    let first = used().await;
    assert_ne!(first, "never");
    stack.database.set_clock_ahead(Duration::from_secs(30)).await;
    assert_eq!(used().await, first, "at most once a minute");
    stack.database.set_clock_ahead(Duration::from_secs(61)).await;
    assert!(used().await > first);
}
