//! The contract's own pages: the OpenAPI document, the reference, the problems.

use std::collections::BTreeSet;

use bytes::Bytes;
use e2e::{Service, Stack};
use gateway::http::problems::Problem;
use serde_json::Value;
use shared::ids::ArtifactId;

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_readable_without_a_key_and_without_the_network() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let get = |path: &str| stack.client().get(format!("{}{path}", gateway.url())).send();
    let document: Value = get("/api/v1/openapi.json").await.unwrap().json().await.unwrap();
    assert_eq!((&document["openapi"], &document["info"]["title"]), (&"3.1.0".into(), &"capi".into()));

    assert_eq!(get("/docs/").await.unwrap().status(), 200);
    let page = get("/docs").await.unwrap();
    assert_eq!(page.status(), 200);
    let (url, policy) = (page.url().clone(), page.headers()["content-security-policy"].clone());
    assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
    let html = page.text().await.unwrap();
    let is_asset = |part: &&str| part.rsplit_once('.').is_some_and(|(_, kind)| ["js", "css"].contains(&kind));
    let assets = html.split(['"', '\'']).filter(is_asset);
    let mut loaded = 0;
    for asset in assets {
        let asset = url.join(asset).unwrap();
        assert_eq!(asset.host(), url.host(), "{asset}");
        assert_eq!(stack.client().get(asset.clone()).send().await.unwrap().status(), 200, "{asset}");
        loaded += 1;
    }
    assert!(loaded >= 3, "{html}");

    for problem in Problem::ALL {
        let page = get(&format!("/docs/problems/{}", problem.code())).await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.text().await.unwrap().contains(problem.title()), "{}", problem.code());
    }
    let refused = stack.send(stack.client().get(format!("{}/api/v1/me", gateway.url()))).await;
    let kind = refused.body["type"].as_str().unwrap();
    assert_eq!(get(kind).await.unwrap().status(), 200, "the type of a problem opens");
    assert_eq!(get("/docs/problems/nothing").await.unwrap().status(), 404);
    assert_eq!(get("/docs/nothing.js").await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_shown_is_documented() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let _worker = stack.start(Service::RunWorker).await;
    let run = stack.create_run(&gateway, "STATUS-401", Some("http://127.0.0.1:9999/")).await;
    stack.ended(&gateway, &run).await;
    stack
        .add_artifact(run.parse().unwrap(), ArtifactId::generate(), "text/plain", "a", Bytes::from("a"))
        .await;
    let document = stack.get(&gateway, "/api/v1/openapi.json").await.body;
    let run = format!("/api/v1/runs/{run}");
    for (path, pointer, schema) in [
        (run.as_str(), "", "Run"),
        (&run, "/artifacts/0", "Artifact"),
        (&run, "/error", "RunError"),
        (&run, "/usage", "Usage"),
        (&run, "/webhook", "WebhookState"),
        ("/api/v1/apps", "/data/0", "App"),
        ("/api/v1/apps", "/data/0/inputs/0", "InputField"),
        ("/api/v1/apps", "/data/0/limits", "Limits"),
        ("/api/v1/models", "/data/0", "Model"),
        ("/api/v1/me", "/key", "Key"),
        ("/api/v1/me", "/limits", "PlanLimits"),
        ("/api/v1/runs?limit=0", "", "Problem"),
        ("/api/v1/runs?limit=0", "/errors/0", "FieldProblem"),
    ] {
        let body = stack.get(&gateway, path).await.body;
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let shown = names(body.pointer(pointer).unwrap());
        let described = &document["components"]["schemas"][schema];
        let documented = names(&described["properties"]);
        assert!(shown.is_subset(&documented), "{schema}: {shown:?} and {documented:?}");
        let required: Vec<_> = described["required"].as_array().unwrap().iter().collect();
        assert!(required.iter().all(|name| shown.contains(name.as_str().unwrap())), "{schema}: {required:?}");
    }
}
