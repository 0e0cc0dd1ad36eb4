//! Lists, dry runs and app versions over HTTP.

use e2e::accounts::{NewKey, Scopes};
use e2e::{Answer, Gateway, Stack};
use serde_json::{Value, json};

use crate::app::TestApp;

async fn create(stack: &Stack, gateway: &TestApp, more: Value) -> String {
    let mut body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = stack.post(gateway, "/api/v1/runs", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.headers["location"], format!("/api/v1/runs/{}", answer.body["id"].as_str().unwrap()));
    answer.body["id"].as_str().unwrap().to_owned()
}

fn ids(page: &Answer) -> Vec<String> {
    let items = page.body["data"].as_array().unwrap_or_else(|| panic!("{page:?}"));
    items.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_their_pages_hold_together() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(
            create(&stack, &gateway, json!({"metadata": {"n": number.to_string(), "ci": "yes"}})).await,
        );
    }
    let elsewhere = stack.post(&gateway, &format!("/api/v1/apps/{other}/runs"), &json!({})).await;
    let elsewhere = elsewhere.body["id"].as_str().unwrap().to_owned();
    for id in &made[..2] {
        let cancelled = stack.cancel_run(&gateway, id).await;
        assert_eq!((cancelled.status, cancelled.body), (200, json!({"success": true})));
    }
    let list = async |query: &str| stack.get(&gateway, &format!("/api/v1/runs{query}")).await;

    let all = list("").await;
    let newest_first: Vec<_> = std::iter::once(&elsewhere).chain(made.iter().rev()).cloned().collect();
    assert_eq!((ids(&all), &all.body["nextCursor"]), (newest_first.clone(), &Value::Null));
    let item = &all.body["data"][7];
    assert!(item.get("inputs").is_none() && item.get("result").is_none() && item["usage"].is_object());
    let whole = list("?include=inputs,result&limit=1").await;
    assert_eq!(whole.body["data"][0]["inputs"], json!({}));
    assert_eq!(whole.body["data"][0]["result"], Value::Null);

    assert_eq!(ids(&list("?status=cancelled").await), [made[1].clone(), made[0].clone()]);
    assert_eq!(ids(&list("?status=cancelled&status=pending").await), newest_first);
    assert_eq!(ids(&list("?status=running").await), Vec::<String>::new());
    assert_eq!(ids(&list(&format!("?appId={other}")).await), *std::slice::from_ref(&elsewhere));
    assert_eq!(
        ids(&stack.get(&gateway, &format!("/api/v1/apps/{other}/runs")).await),
        *std::slice::from_ref(&elsewhere)
    );
    assert_eq!(ids(&list("?metadata.n=3").await), [made[3].clone()]);
    assert_eq!(ids(&list("?metadata.n=3&metadata.ci=no").await), Vec::<String>::new());
    assert_eq!(ids(&list("?metadata.ci=yes&status=cancelled").await).len(), 2);
    assert_eq!(ids(&list("?source=console").await), Vec::<String>::new());
    let third = stack.get(&gateway, &format!("/api/v1/runs/{}", made[3])).await.body;
    let at = third["createdAt"].as_str().unwrap();
    let around = [list(&format!("?createdAfter={at}")).await, list(&format!("?createdBefore={at}")).await];
    assert_eq!(ids(&around[1]), [made[2].clone(), made[1].clone(), made[0].clone()]);
    // The shown time has milliseconds, the row microseconds.
    assert_eq!(ids(&around[0]).len(), 5);

    // Pages of two, while new runs arrive and one of the old ones goes: nothing twice, nothing left out.
    let mut seen = Vec::new();
    let mut query = "?metadata.ci=yes&limit=2".to_owned();
    loop {
        let page = list(&query).await;
        seen.extend(ids(&page));
        assert!(seen.len() <= made.len(), "it goes on for ever: {seen:?}");
        create(&stack, &gateway, json!({"metadata": {"ci": "yes"}})).await;
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        query = format!("?cursor={cursor}&limit=2");
    }
    assert_eq!(seen, made.iter().rev().cloned().collect::<Vec<_>>(), "the cursor carries its filters");
    let cursor = list("?status=pending&limit=1").await.body["nextCursor"].as_str().unwrap().to_owned();
    let contradicts = list(&format!("?cursor={cursor}&status=running")).await;
    assert_eq!((contradicts.status, &contradicts.body["errors"][0]["parameter"]), (400, &"cursor".into()));
    assert_eq!(list(&format!("?cursor={cursor}&status=pending")).await.status, 200);

    cursors_within_an_app(&stack, &gateway, &other).await;
}

/// With the account's key, and with one of that app: the key is no part of the cursor, the app is.
async fn cursors_within_an_app(stack: &Stack, gateway: &TestApp, other: &str) {
    let within = format!("/api/v1/apps/{}/runs", stack.app);
    let first = stack.get(gateway, &format!("{within}?status=pending&status=cancelled&limit=2")).await;
    let cursor = first.body["nextCursor"].as_str().unwrap();
    let elsewhere = format!("/api/v1/apps/{other}/runs?cursor={cursor}");
    assert_eq!(stack.get(gateway, &elsewhere).await.status, 400, "it carries the app too");
    let scoped = NewKey { name: "s".to_owned(), app: Some(stack.app), days: None, scopes: Scopes::DEFAULT };
    let scoped = stack.try_create_key(&scoped).await.unwrap();
    for path in ["/api/v1/runs", &within] {
        for filters in ["", "&status=cancelled&status=pending"] {
            for key in [&stack.key, &scoped] {
                let url = format!("{}{path}?cursor={cursor}&limit=2{filters}", gateway.url());
                let next = stack.send(stack.client().get(url).bearer_auth(key)).await;
                assert_eq!(next.status, 200, "{path} {filters}: {next:?}");
                assert!(ids(&next).iter().all(|id| !ids(&first).contains(id)), "{path} {filters}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_everything_and_creates_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let good = json!({"appId": stack.app, "inputs": {"text": "x"}, "queueTimeoutSeconds": 60});
    let dry = stack.post(&gateway, "/api/v1/runs?dryRun=true", &good).await;
    let expected = json!({
        "valid": true, "appId": stack.app, "appName": "Echo", "appVersion": 1, "chatModelId": "scripted",
    });
    assert_eq!((dry.status, dry.body), (200, expected));
    let bad = json!({"appId": stack.app, "inputs": {}});
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=true", &bad).await.body["code"], "invalid_inputs");
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=maybe", &good).await.status, 400);
    assert_eq!(stack.text("SELECT count(*)::text AS text FROM runs").await, "0");
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=false", &good).await.status, 202);
    assert_eq!(stack.text("SELECT queue_timeout_seconds::text AS text FROM runs").await, "60");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_counts_on_every_gateway_at_once() {
    let stack = Stack::unlimited().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await];
    let app = stack.import("name = 'Changing'\nprompt = 'x'").await;
    let create = async |gateway: &TestApp, inputs: Value| {
        stack.post(gateway, &format!("/api/v1/apps/{app}/runs"), &json!({"inputs": inputs})).await
    };
    for gateway in &gateways {
        assert_eq!(create(gateway, json!({})).await.status, 202, "the version is in its cache now");
    }
    let second = "name = 'Changing'\nprompt = 'x'\n[[inputs]]\nname = 'text'\ntype = 'text'\nrequired = true";
    assert_eq!(stack.import(second).await, app);
    for gateway in &gateways {
        let old = create(gateway, json!({})).await;
        assert_eq!((old.status, &old.body["code"]), (400, &"invalid_inputs".into()), "{old:?}");
        let new = create(gateway, json!({"text": "y"})).await;
        assert_eq!(new.status, 202, "{new:?}");
        let run = stack.get(gateway, &format!("/api/v1/runs/{}", new.body["id"].as_str().unwrap())).await;
        assert_eq!(run.body["appVersion"], 2);
    }
    assert_eq!(stack.get(&gateways[0], &format!("/api/v1/apps/{app}")).await.body["version"], 2);
}
