//! Pages that are too large or hold nothing, and fonts that do not exist: the result says so.

use e2e::Stack;
use serde_json::json;
use shared::testing::FileServer;

use super::services::Services;
use super::{python, shell};

const PAGE_BYTES: usize = 50 << 20;

const APP_PAGE: &str = "
<html><head><title>App</title><script src='/app.js'></script></head>
<body><div id='root'></div><noscript>You need to enable JavaScript to run this app.</noscript></body></html>
";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_50_mb_is_cut_and_a_page_without_text_says_that_it_needs_javascript() {
    let mut pages = FileServer::default();
    let huge = format!("<main><p>It begins.</p>{}", "<p>words and words".repeat(PAGE_BYTES / 18));
    pages.add("/huge", "text/html; charset=utf-8", huge);
    pages.add("/app", "text/html", APP_PAGE);
    pages.add("/data.bin", "application/octet-stream", vec![0_u8; 4096]);
    let pages = pages.start().await;
    let services = Services::start_in(Stack::unlimited().await).await;
    let fetch = |path: &str| ("fetch_url", json!({"url": pages.url(path)}));
    let calls = [
        fetch("/huge"),
        ("fetch_url", json!({"url": pages.url("/huge"), "offset": 20_000})),
        fetch("/app"),
        fetch("/data.bin"),
        ("fetch_url", json!({"url": pages.url("/data.bin"), "save_to": "data.bin"})),
        shell("wc -c data.bin"),
    ];
    let ended = services.run(&[], &calls).await;
    ended.told[0].has(&["It begins.", "words and words", "offset"]);
    ended.told[1].has(&["words and words"]);
    ended.told[1].lacks(&["It begins."]);
    ended.told[2].has(&["JavaScript"]);
    ended.told[3].has(&["save_to"]);
    ended.told[5].has(&["4096 data.bin"]);
    assert!(ended.told.iter().all(|told| told.0.len() < 64 << 10), "what the model reads stays short");
    assert!(services.worker.resident_mb() < 400, "{} MiB", services.worker.resident_mb());
}

/// No font of the kit has hieroglyphs.
const CHART: &str = "
import matplotlib.pyplot as plt
figure = plt.figure()
figure.text(0.2, 0.8, 'Sales', family='No Such Font')
figure.text(0.2, 0.2, '\u{13000}')
figure.savefig('a.png')
";

#[tokio::test(flavor = "multi_thread")]
async fn fonts_and_characters_that_are_missing_are_named() {
    let services = Services::start().await;
    let ended = services.run(&[], &[python(CHART)]).await;
    ended.told[0].has(&["exit code 0", "No Such Font", "77824", "missing"]);
}
