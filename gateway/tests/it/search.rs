//! Apps that search the web, on installations with and without a search provider.

use e2e::accounts::EMAIL;
use e2e::{Answer, Gateway, Stack, repeated_while};
use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

const LISTED: &str = "name = 'Search'\nprompt = 'p'\ntools = ['web_search']\n";
const NAMED: &str =
    "name = 'Named'\nprompt = 'p'\n[tools.fetch_url]\n[tools.web_search]\nprovider = 'brave'\n";
const PROVIDERS: &str = "[[providers]]\nprovider = 'serper'\nkey_env = 'K'\n[[providers]]\nprovider = \
                         'brave'\nkey_env = 'K'\nquota = { month = 2000 }\n";

/// Sends the app file until the gateway takes it.
async fn create(stack: &Stack, gateway: &TestApp, key: &str, file: &str) -> Answer {
    repeated_while(&[429, 503], async || {
        let request = stack.client().request(Method::POST, format!("{}/api/v1/apps", gateway.url()));
        let request = request.bearer_auth(key).header("content-type", "application/toml");
        stack.send(request.body(file.to_owned())).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_searches_needs_a_provider_when_it_is_saved_and_when_it_runs() {
    let stack = Stack::unlimited().await;
    let key = stack.create_key_with_all_scopes(EMAIL).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("search.toml");
    std::fs::write(&file, PROVIDERS).unwrap();
    let without = TestApp::start(&stack).await;
    let with = TestApp::start_with(&stack, "CAPI_SEARCH", &file.display().to_string()).await;

    for app in [LISTED, NAMED] {
        let refused = create(&stack, &without, &key, app).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_app")), "{refused:?}");
        assert_eq!(refused.body["errors"][0]["pointer"], "/tools", "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("CAPI_SEARCH"), "{refused:?}");
    }
    let unknown = create(&stack, &with, &key, &NAMED.replace("'brave'", "'brav'")).await;
    assert_eq!(unknown.body["errors"][0]["pointer"], "/tools/web_search/provider", "{unknown:?}");
    assert!(unknown.body["detail"].as_str().unwrap().contains("(did you mean \"brave\"?)"), "{unknown:?}");

    let created = create(&stack, &with, &key, NAMED).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["tools"], json!(["fetch_url", "web_search"]));
    assert_eq!(created.body["searchProvider"], "brave", "{created:?}");
    let app = created.body["id"].as_str().unwrap();
    let body = json!({"appId": app, "inputs": {}});
    let refused = stack.post(&without, "/api/v1/runs", &body).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("search_unavailable")), "{refused:?}");
    assert!(refused.body["detail"].as_str().unwrap().contains("CAPI_SEARCH"), "{refused:?}");
    let dry = stack.post(&without, "/api/v1/runs?dryRun=true", &body).await;
    assert_eq!(dry.body["code"], "search_unavailable", "{dry:?}");
    let accepted = stack.post(&with, "/api/v1/runs", &body).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");

    // The file reads back as the same definition.
    let url = format!("{}/api/v1/apps/{app}?format=toml", with.url());
    let text = stack.client().get(url).bearer_auth(&key).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("[tools.web_search]\nprovider = \"brave\""), "{text}");
    let same = create(&stack, &with, &key, &text).await;
    assert_eq!((same.status, &same.body["version"]), (200, &json!(1)), "{same:?}");
}
