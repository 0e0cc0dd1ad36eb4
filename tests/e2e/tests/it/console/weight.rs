//! The weight of pages, and a thread of 2,000 events. `make screenshots` measures the times.

use e2e::console::EMAIL;
use e2e::{Browser, Stack};

/// Bytes of a page with everything that it loads, as they are and not as they travel.
const MOST: u64 = 100 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_light_and_long_threads_open() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(1280, 900).await;
    stack.sign_in(&browser, &gateway, EMAIL).await;
    let id = "019f0000-0000-7000-8000-000000000002";
    stack.run_of_many_events(id, 2000).await;
    let app = stack.app;
    for path in ["/apps", "/apps/new", "/account/keys", "/account/usage", "/account/activity"]
        .into_iter()
        .map(str::to_owned)
        .chain(["", "/runs", "/api", "/edit", "/versions"].map(|tab| format!("/apps/{app}{tab}")))
    {
        browser.open(&format!("{}{path}", gateway.url())).await;
        let weight = browser.weight().await;
        assert!((20_000..MOST).contains(&weight), "{path}: {weight} bytes");
    }
    browser.open(&format!("{}/runs/{id}", gateway.url())).await;
    browser.wait_for_text(".thread", "Completed").await;
    assert_eq!(
        browser.eval("return document.querySelectorAll('[data-seq]:not(.result-of), .output').length").await,
        2000
    );
    assert_eq!(browser.console_errors().await, [""; 0]);
}
