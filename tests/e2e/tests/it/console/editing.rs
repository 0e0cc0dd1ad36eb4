//! Apps: made from a sample, edited with each error at its field, previewed, compared, restored, archived.

use e2e::console::EMAIL;
use e2e::{Browser, Service, Stack};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_made_changed_compared_restored_and_archived() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    browser.click_text("a", "New app").await;
    browser.click_text(".card", "Extract").await;
    browser.wait_for_text(".notice", "App created").await;
    browser.wait_for_text("h1", "Extract").await;

    // Each error is at its field, and the typed text is kept.
    browser.fill("#prompt", "{{ text }} {{ mood }}").await;
    browser.fill("#schema", "{").await;
    browser.fill("[name='limits.steps']", "0").await;
    browser.submit("#editor").await;
    browser.wait_for_text("#error-prompt", "\"mood\"").await;
    browser.wait_for_text("#error-schema", "is not JSON").await;
    browser.wait_for_text(".cells .field-error", "1 to 1000").await;
    assert_eq!(browser.eval("return document.querySelector('#schema').value").await, "{");

    // Another field, and a preview before it is saved.
    browser.click("[data-add]").await;
    assert_eq!(browser.active().await, "input[name=field.name]");
    browser.fill("#rows-of-fields .row:last-child [name='field.name']", "mood").await;
    browser.fill("#schema", "").await;
    browser.fill("[name='limits.steps']", "4").await;
    browser.click_text("summary", "Preview").await;
    browser.fill("#samples", "{\"text\": \"Ada\", \"mood\": \"<b>glad</b>\"}").await;
    browser.click_text("button", "Show the prompt").await;
    browser.wait_for_text("#preview", "Ada <b>glad</b>").await;
    browser.submit("#editor").await;
    browser.wait_for_text(".notice", "Saved as a new version").await;
    let app = browser.url().await.split("/apps/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let shown = stack.get(&gateway, &format!("/api/v1/apps/{app}")).await.body;
    assert_eq!(
        (&shown["version"], &shown["limits"]["steps"], &shown["outputSchema"]),
        (&json!(2), &json!(4), &json!(null))
    );
    assert_eq!(shown["inputs"][1]["name"], "mood");

    browser.click_text("a", "Versions").await;
    browser.wait_for_text(".diff .ins", "{{ mood }}").await;
    browser.click("[aria-label='Restore version 1']").await;
    browser.wait_for_text(".notice", "Saved as a new version").await;
    let restored = stack.get(&gateway, &format!("/api/v1/apps/{app}")).await.body;
    assert_eq!((&restored["version"], &restored["inputs"].as_array().unwrap().len()), (&json!(3), &1));

    browser.click_text(".danger button", "Archive").await;
    browser.say_yes().await;
    browser.wait_for_text(".alert", "This app is archived").await;
    let refused = stack.post(&gateway, "/api/v1/runs", &json!({"appId": app, "inputs": {"text": "x"}})).await;
    assert_eq!(refused.body["code"], "app_archived");
    browser.click_text("button", "Restore it").await;
    browser.wait_for_text(".notice", "App restored").await;
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("400 (Bad Request)")), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_tab_makes_a_key_for_this_app_and_its_curl_works() {
    let stack = Stack::pro().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let browser = Browser::start(1280, 900).await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    browser.open(&format!("{}/apps/{}/api", gateway.url(), stack.app)).await;
    browser.fill("[name=name]", "here").await;
    browser.submit(".inline-form").await;
    let key = browser.text("#new-key").await;
    let curl = browser.text("#code-curl").await.replace("http://localhost/", &format!("{}/", gateway.url()));
    let ran = tokio::process::Command::new("bash")
        .arg("-c")
        .arg(&curl)
        .env("CAPI_API_KEY", &key)
        .output()
        .await
        .unwrap();
    assert!(ran.status.success() && ran.stdout == b"You said: A text\n", "{curl}: {ran:?}");
    let elsewhere = stack.client().get(format!("{}/api/v1/apps/{other}", gateway.url())).bearer_auth(&key);
    assert_eq!(stack.send(elsewhere).await.status, 404, "it sees this app alone");
    let (status, page) =
        stack.page(&gateway, "/account/keys", &stack.session(&gateway, EMAIL).await.cookie).await;
    assert!(status == 200 && page.contains("<span class=\"badge\">Echo</span>"), "the scope is shown");
}
