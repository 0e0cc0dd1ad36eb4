//! API keys: who gets in, who does not, and that it is the same on every gateway (K3, K6, K7).

use e2e::{Answer, Process, Service, Stack};
use futures_util::future::join_all;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::ApiKey;
use gateway_domain::accounts::keys::{self, KeyRefusal, NewKey};
use serde_json::json;
use shared::config::Plans;
use shared::ids::UserId;

async fn get_with(stack: &Stack, gateway: &Process, path: &str, key: &str) -> Answer {
    stack.send(stack.client().get(format!("{}{path}", gateway.url())).bearer_auth(key)).await
}

async fn revoke(stack: &Stack, name: &str) {
    let listed = stack.on_account(&["key", "list"]).await;
    let line = listed.lines().find(|line| line.contains(name)).unwrap();
    stack.on_account(&["key", "revoke", "--id", line.split('\t').next().unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_keys_are_refused_everywhere_and_told_apart_nowhere() {
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let revoked = stack.on_account(&["key", "create", "--name", "revoked"]).await;
    let expired = stack.on_account(&["key", "create", "--name", "expired", "--days", "1"]).await;
    for gateway in &gateways {
        for key in [&revoked, &expired] {
            assert_eq!(get_with(&stack, gateway, "/api/v1/me", key).await.status, 200);
        }
    }
    revoke(&stack, "revoked").await;
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
    let listed = stack.on_account(&["key", "list"]).await;
    for (name, state) in [("revoked", "revoked"), ("expired", "expired"), ("test", "active")] {
        assert!(listed.contains(&format!("\t{name}\t{state}\t")), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scoped_key_sees_its_app_alone() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await;
    let run = stack.create_run(&gateway, "hello", None).await;
    let foreign = stack
        .try_cli(&["key", "create", "--email", "ada@example.com", "--name", "x", "--app", &run], "")
        .await;
    assert!(!foreign.2 && foreign.1.contains("no such app"), "{foreign:?}");
    let scoped = stack.on_account(&["key", "create", "--name", "scoped", "--app", &other]).await;

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
    let gateway = stack.start(Service::Gateway).await;
    stack.on_account(&["user", "set-plan", "--plan", "free"]).await;
    let refused = stack.get(&gateway, "/api/agentapps").await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &"plan_required".into()));
    let (_, said, good) =
        stack.try_cli(&["key", "create", "--email", "ada@example.com", "--name", "x"], "").await;
    assert!(!good && said.contains("does not include API keys"), "{said}");
    stack.on_account(&["user", "set-plan", "--plan", "team"]).await;
    let back = stack.get(&gateway, "/api/v1/me").await;
    assert_eq!((back.status, &back.body["user"]["plan"]), (200, &"team".into()), "they come back with it");
    assert_eq!(back.headers["ratelimit-policy"], "\"user\";q=300;w=60");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_keys_are_active_however_many_are_created_at_once() {
    let stack = Stack::pro().await;
    let user: UserId = stack.text("SELECT id::text AS text FROM users").await.parse().unwrap();
    let (plans, new) = (&Plans::built_in(), &NewKey { name: "many".to_owned(), app: None, days: None });
    let create = || async { keys::create(&stack.database.db, user, new, plans, Actor::Operator).await };
    let made = join_all((0..20).map(|_| create())).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 9, "the stack has one already");
    assert!(
        made.iter().filter_map(|made| made.as_ref().err()).all(|why| matches!(why, KeyRefusal::Full(10)))
    );
    let (_, said, good) =
        stack.try_cli(&["key", "create", "--email", "ada@example.com", "--name", "11th"], "").await;
    assert!(!good && said.contains("revoke one first"), "{said}");
    revoke(&stack, "many").await;
    stack.database.run_sql("UPDATE api_keys SET expires_at = capi_now() WHERE name = 'test'").await;
    assert!(create().await.is_ok() && create().await.is_ok(), "a revoked and an expired one make room");
    assert!(create().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_costs_no_statement_and_use_is_noted_once_a_minute() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let calls = || gateway.counter("capi_database_calls_total");
    let typo = stack.mistyped_key();
    let before = calls().await;
    for _ in 0..5 {
        let refused = get_with(&stack, &gateway, "/api/v1/models", &typo).await;
        assert!(refused.body["detail"].as_str().unwrap().contains("checksum"), "{refused:?}");
    }
    assert!((calls().await - before).abs() < 0.5, "a bad checksum costs no statement");
    assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200);
    assert!((calls().await - before - 1.0).abs() < 0.5, "authentication is one call");

    let used = "SELECT coalesce(last_used_at::text, 'never') AS text FROM api_keys";
    let first = stack.text(used).await;
    assert_ne!(first, "never");
    stack.get(&gateway, "/api/v1/models").await;
    assert_eq!(stack.text(used).await, first, "at most once a minute");
    stack.database.run_sql("UPDATE api_keys SET last_used_at = last_used_at - interval '61 s'").await;
    stack.get(&gateway, "/api/v1/models").await;
    assert!(stack.text(used).await > first);
}
