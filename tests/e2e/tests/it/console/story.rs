//! The whole story: sign in, make a key, call the API with it, see the run live, open its thread, revoke the
//! key.

use e2e::console::EMAIL;
use e2e::{Browser, Service, Stack};
use shared::testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_watched_and_revoked() {
    let stack = Stack::pro().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;

    // A key, shown this once.
    browser.click_text(".top a", "Account").await;
    browser.fill("[name=name]", "CI <b>").await;
    browser.submit(".inline-form").await;
    let key = browser.text("#new-key").await;
    assert!(key.starts_with("capi_") && key.len() == 43, "a whole key");
    browser.click_text(".tabs a", "API Keys").await;
    browser.wait_for_text("td", "CI <b>").await;
    assert_eq!(browser.count("#new-key").await, 0, "it is shown once");
    let shown = browser.text("main").await;
    assert!(shown.contains(&key[..12]) && !shown.contains(&key[..20]), "only its beginning is listed");

    // The app's runs, before there is any.
    browser.click_text(".top a", "Apps").await;
    browser.click_text(".list a", "Echo").await;
    assert!(browser.url().await.ends_with(&format!("/apps/{}", stack.app)), "the app's id is in its URL");
    browser.click_text(".tabs a", "Runs").await;
    browser.wait_for_text("h2", "No runs yet").await;

    // A run of a script appears without a reload, and its thread grows while it is open.
    let id = stack.run_with_key(&gateway, &key, "HOLD the line").await;
    browser.wait_for_text("#rows a", "[API] HOLD the line").await;
    browser.wait_for_text("#rows", "CI <b>").await;
    browser.wait_for_text(".status", "running").await;
    browser.click_text("#rows a", "[API]").await;
    browser.wait_for_text("h1", "[API] HOLD the line").await;
    browser.wait_for_text("#connection", "live").await;
    browser.wait_for_text(".thread", "Started by worker-").await;
    eventually("the model holds its answer", async || (stack.model.holding() == 1).then_some(())).await;
    stack.model.release();
    browser.wait_for_text("#summary .status", "completed").await;
    browser.wait_for_text(".thread", "You said: HOLD the line").await;
    browser.wait_for_text("#summary .result", "You said: HOLD the line").await;
    assert_eq!(browser.count(&format!("[href='/runs/{id}/events.jsonl']")).await, 1);
    let seqs =
        "return [...document.querySelectorAll('[data-seq]')].map((item) => Number(item.dataset.seq)).join()";
    assert_eq!(browser.eval(seqs).await, "1,2,3,4,5", "each event once, in order");

    // Revoked: the next call is refused.
    browser.click_text(".top a", "Account").await;
    browser.click("[aria-label='Revoke CI <b>']").await;
    browser.say_yes().await;
    browser.wait_for_text(".notice", "Key revoked").await;
    let refused =
        stack.send(stack.client().get(format!("{}/api/v1/me", gateway.url())).bearer_auth(&key)).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    browser.click_text(".tabs a", "Activity").await;
    for done in ["Signed in", "API key created", "API key revoked"] {
        browser.wait_for_text("td", done).await;
    }
    browser.click_text(".tabs a", "usage").await;
    browser.wait_for_text("figcaption", "1 runs").await;

    browser.click_text("button", "Sign out").await;
    browser.wait_for_text("h1", "Sign in").await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_with_a_form_fails_and_is_run_again_with_changes() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let _worker = stack.start(Service::RunWorker).await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    browser.click_text(".list a", "Echo").await;
    browser.fill("#input-text", "STATUS-400 please").await;
    browser.fill("#input-count", "many").await;
    browser.submit("#run-form").await;
    browser.wait_for_text("#error-count", "must be a number").await;
    browser.fill("#input-count", "3").await;
    browser.submit("#run-form").await;
    browser.wait_for_text(".failure h2", "model_error").await;
    let failure = browser.text(".failure").await;
    for part in
        ["model server", "HTTP 400 (request req-7f3a)", "Step 1 failed", "attempt 1", "No output was saved"]
    {
        assert!(failure.contains(part), "{part}: {failure}");
    }
    assert!(!browser.text("h1").await.contains("[API]"), "a run of the console has no prefix");
    browser.click_text("#summary a", "Run again with changes").await;
    assert_eq!(browser.eval("return document.querySelector('#input-count').value").await, "3");
    browser.fill("#input-text", "Hello").await;
    browser.submit("#run-form").await;
    browser.wait_for_text("#summary .status", "completed").await;
    browser.click("#delete").await;
    browser.say_yes().await;
    browser.wait_for_text("#rows a", "STATUS-400 please").await;
    assert_eq!(browser.count("#rows tbody tr").await, 1);
    assert_eq!(
        stack.texts("SELECT source || count(*) AS text FROM runs GROUP BY source").await,
        ["console1"],
        "the console's runs say so"
    );
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("400 (Bad Request)")), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_run_says_why_and_can_be_cancelled() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(390, 844).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    let id = stack.create_run(&gateway, "Nobody is there", None).await;
    let other = stack.create_run(&gateway, "Nor here", None).await;
    browser.open(&format!("{}/apps/{}/runs", gateway.url(), stack.app)).await;
    browser.click("[aria-label='Cancel Nor here']").await;
    browser.wait_for_text("#rows .status", "cancelled").await;
    assert_eq!(browser.count(&format!("#again-{other}")).await, 1, "it can be run again");
    browser.open(&format!("{}/runs/{id}", gateway.url())).await;
    browser.wait_for_text("#pending", "No worker is ready").await;
    browser.click("#cancel").await;
    browser.wait_for_text("#summary .status", "cancelled").await;
    browser.wait_for_text(".thread", "Cancelled").await;
    let wide = browser.eval("return document.documentElement.scrollWidth").await;
    assert_eq!(wide, 390, "no page is wider than a phone");
    assert_eq!(browser.console_errors().await, [""; 0]);
}
