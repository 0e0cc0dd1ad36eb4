//! The pages of /docs in a browser: wide and narrow, light and dark, without faults and without the network.

use e2e::{Browser, Service, Stack};
use serde_json::json;

const PAGES: [&str; 6] = [
    "/docs",
    "/docs/guides/quickstart",
    "/docs/guides/webhooks",
    "/docs/guides/limits",
    "/docs/problems",
    "/docs/reference",
];
const FOREIGN: &str = "return performance.getEntriesByType('resource').map((entry) => entry.name)
    .filter((name) => new URL(name).origin !== location.origin)";
const IS_DARK: &str =
    "const [ground] = getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g);
    return Number(ground) < 60";

/// What the page tells about the click. The browser ends a script after a minute.
const SAID: &str = "for (;;) {
    const said = document.getElementById('said').textContent;
    if (said) return said;
    await new Promise((done) => setTimeout(done, 50));
}";

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_docs_fit_every_window() {
    let axe = std::env::var("CAPI_AXE")
        .unwrap_or_else(|_| panic!("CAPI_AXE is not set; run the tests through `make test`"));
    let axe = std::fs::read_to_string(axe).unwrap();
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let browser = Browser::start(1440, 900).await;
    for (width, dark) in [(1440, false), (390, true)] {
        browser.resize(width, 900).await;
        browser.emulate_dark(dark).await;
        for path in PAGES {
            let at = format!("{path} with {width} pixels, dark: {dark}");
            browser.open(&format!("{}{path}", gateway.url())).await;
            if path == "/docs/reference" {
                browser.wait_for_text(".swagger-ui .opblock-tag", "Runs").await;
                browser.click_text(".swagger-ui .opblock-summary-path", "/api/v1/me").await;
                browser.wait_for_text(".swagger-ui .opblock-body", "Responses").await;
            } else {
                // Swagger UI has faults of its own.
                assert_eq!(browser.axe(&axe).await, [""; 0], "{at}");
            }
            assert_eq!(browser.eval("return document.documentElement.scrollWidth").await, width, "{at}");
            assert_eq!(browser.eval(FOREIGN).await, json!([]), "{at}");
            assert_eq!(browser.eval(IS_DARK).await, dark, "{at}");
            assert_eq!(browser.console_errors().await, [""; 0], "{at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_copies_a_block_and_finds_the_way_home() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let browser = Browser::start(1280, 800).await;
    browser.open(&format!("{}/docs", gateway.url())).await;
    browser.click_text("main .pages a", "Quickstart").await;
    browser.wait_for_text("h1", "Quickstart").await;
    browser.click(".copy").await;
    // A browser may forbid the clipboard; then the page marks the block.
    let said = browser.eval_async(SAID).await;
    assert!(said == "Copied" || said == "Press Ctrl + C", "{said}");
    browser.click_text(".turn a", "Waiting").await;
    browser.wait_for_text("h1", "Waiting").await;
    browser.click(".brand").await;
    browser.wait_for_text("h1", "Sign in").await;
    browser.click_text("footer a", "Docs").await;
    browser.wait_for_text("h1", "Documentation").await;
}
