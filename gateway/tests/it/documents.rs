//! The contract's own pages: the OpenAPI document, the reference, the problems.

use e2e::{Gateway, Stack};
use gateway::http::problems::Problem;
use serde_json::Value;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_readable_without_a_key_and_without_the_network() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
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
