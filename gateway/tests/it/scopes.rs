//! What a key may do follows from its scopes (K6). The test tries every line of the route table with a key of
//! each scope.

use e2e::accounts::{EMAIL, NewKey, Scope, Scopes};
use e2e::{Answer, Gateway, Stack};
use gateway::endpoints;
use gateway::http::endpoint::Endpoint;
use serde_json::json;

use crate::app::TestApp;

async fn key_with(stack: &Stack, scopes: &[Scope]) -> String {
    let scopes: Scopes = scopes.iter().copied().collect();
    let new = NewKey { name: format!("for {scopes}"), app: None, days: None, scopes };
    stack.try_create_key(&new).await.unwrap()
}

/// The scope that an endpoint needs, by its path and method.
fn needed(endpoint: &Endpoint) -> Option<Scope> {
    let reads = endpoint.method.as_str() == "GET";
    if endpoint.path.contains("apps") || endpoint.path.ends_with("/models") || endpoint.path.ends_with("/me")
    {
        let of_runs = endpoint.path.contains("/runs");
        return if of_runs { Some(Scope::Runs) } else { (!reads).then_some(Scope::AppsWrite) };
    }
    Some(Scope::Runs)
}

async fn call(stack: &Stack, gateway: &TestApp, endpoint: &Endpoint, key: &str) -> Answer {
    let path = endpoint.path.replace("{appId}", &stack.app.to_string());
    let id = "0197f7a0-0000-7000-8000-000000000000";
    let path: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
    let method = endpoint.method.as_str().parse().unwrap();
    let request = stack.client().request(method, format!("{}{}", gateway.url(), path.join("/")));
    let request = request.bearer_auth(key);
    let has_body = ["POST", "PUT"].contains(&endpoint.method.as_str());
    stack.send(if has_body { request.json(&json!({"unknown": true})) } else { request }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_needs_its_scope() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let both = key_with(&stack, &Scope::ALL).await;
    let mut refused = 0;
    for scope in Scope::ALL {
        let key = key_with(&stack, &[scope]).await;
        for endpoint in endpoints().iter().filter(|endpoint| endpoint.takes_key()) {
            let what = format!("{} {} with {}", endpoint.method, endpoint.path, scope.as_str());
            let answer = call(&stack, &gateway, endpoint, &key).await;
            match needed(endpoint).filter(|needed| *needed != scope) {
                Some(needed) => {
                    refused += 1;
                    assert_eq!(
                        (answer.status, &answer.body["code"]),
                        (403, &json!("scope_required")),
                        "{what}"
                    );
                    assert_eq!(answer.body["scope"], needed.as_str(), "{what}");
                    assert!(answer.body["detail"].as_str().unwrap().contains(needed.as_str()), "{what}");
                }
                None => assert_ne!(answer.status, 403, "{what}: {answer:?}"),
            }
            let answer = call(&stack, &gateway, endpoint, &both).await;
            assert_ne!(answer.status, 403, "{what}: a key with both scopes: {answer:?}");
        }
    }
    assert!(refused >= 10, "{refused} refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_say_what_they_may_do_and_old_ones_may_run_apps() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let scopes_of = async |key: &str| {
        let request = stack.client().get(format!("{}/api/v1/me", gateway.url())).bearer_auth(key);
        stack.send(request).await.body["key"]["scopes"].clone()
    };
    assert_eq!(scopes_of(&stack.key).await, json!(["runs"]));
    let old = stack.add_keys(1).await;
    assert_eq!(scopes_of(&old[0]).await, json!(["runs"]), "a key that was stored without scopes");
    assert_eq!(scopes_of(&key_with(&stack, &Scope::ALL).await).await, json!(["runs", "apps:write"]));

    let session = stack.session(&gateway, EMAIL).await;
    let form = [("name", "git"), ("days", ""), ("app", ""), ("scopes", "apps:write")];
    let (status, page) = stack.form_page(&gateway, "/account/keys", &session, &form).await;
    assert_eq!(status, 200);
    let (_, shown) = page.split_once("capi_").unwrap();
    let end = shown.find(|c: char| !c.is_ascii_alphanumeric()).unwrap();
    assert_eq!(scopes_of(&format!("capi_{}", &shown[..end])).await, json!(["apps:write"]));
    assert!(page.contains("<span class=\"badge\">apps:write</span>"));
    let form = [("name", "git"), ("scopes", "everything")];
    let (status, page) = stack.form_page(&gateway, "/account/keys", &session, &form).await;
    assert!(status == 400 && page.contains("May: choose one of the entries."), "{status}");
    let recorded = "SELECT string_agg(subject, '|') AS text FROM audit_log WHERE action = 'key_created'";
    let recorded = stack.text(recorded).await;
    assert!(recorded.contains("; apps:write)") && recorded.contains("; runs, apps:write)"), "{recorded}");
}
