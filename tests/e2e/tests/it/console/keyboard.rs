//! Without a mouse: sign in, run an app, cancel the run, sign out.

use e2e::console::EMAIL;
use e2e::{Browser, Key, PASSWORD, Stack};
use shared::testing::eventually;

/// Tabs until the element that is described so has the focus.
async fn tab_to(browser: &Browser, wanted: &str) {
    let mut passed = Vec::new();
    for _ in 0..60 {
        browser.press(&[Key::Tab]).await;
        let active = browser.active().await;
        if active.contains(wanted) {
            let outline = browser.eval("return getComputedStyle(document.activeElement).outlineStyle").await;
            assert_ne!(outline, "none", "the focus on {active} is seen");
            return;
        }
        passed.push(active);
    }
    panic!("{wanted} is not reached by tabbing: {passed:?}");
}

async fn type_text(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.press(&[key]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_by_the_keyboard() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&format!("{}/apps", gateway.url())).await;
    browser.wait_for_text("h1", "Sign in").await;
    eventually("the focus is where one begins to type", async || {
        (browser.active().await == "input[name=email]").then_some(())
    })
    .await;
    type_text(&browser, EMAIL).await;
    browser.press(&[Key::Tab]).await;
    type_text(&browser, PASSWORD).await;
    browser.press(&[Key::Enter]).await;
    browser.wait_for_text("h1", "Apps").await;

    browser.press(&[Key::Tab]).await;
    assert!(browser.active().await.contains("Skip to content"), "{}", browser.active().await);
    browser.press(&[Key::Enter]).await;
    tab_to(&browser, "New app").await;
    tab_to(&browser, "Echo").await;
    browser.press(&[Key::Enter]).await;
    browser.wait_for_text("h1", "Echo").await;
    tab_to(&browser, "textarea#input-text").await;
    type_text(&browser, "By keyboard").await;
    browser.press(&[Key::Control, Key::Enter]).await;
    browser.wait_for_text("h1", "By keyboard").await;
    tab_to(&browser, "Cancel").await;
    browser.press(&[Key::Enter]).await;
    browser.wait_for_text("#summary .status", "cancelled").await;
    tab_to(&browser, "Sign out").await;
    browser.press(&[Key::Enter]).await;
    browser.wait_for_text("h1", "Sign in").await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}
