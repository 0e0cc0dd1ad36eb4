//! Large values make small pages.

use e2e::Stack;
use e2e::console::EMAIL;

use super::app_form;
use crate::app::TestApp;

/// Bytes of any of these pages.
const MOST: usize = 700 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_schema_is_compared_and_edited_in_small_pages() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let edit = format!("/apps/{}/edit", stack.app);
    let schema = |leaf: u8| {
        let values = vec!["0"; 31_000].join(",");
        format!("{{\"enum\":[{}{values},{leaf}{}]}}", "[".repeat(56), "]".repeat(56))
    };
    for (base, leaf) in [("1", 0), ("2", 1)] {
        let schema = schema(leaf);
        let fields = app_form(&[("name", "A"), ("prompt", "p"), ("base", base), ("schema", &schema)]);
        let (status, page) = stack.form_page(&gateway, &edit, &session, &fields).await;
        assert_eq!(status, 303, "{page:.2000}");
    }
    let versions = stack.page(&gateway, &format!("/apps/{}/versions", stack.app), &session.cookie).await.1;
    assert!(versions.len() < MOST, "{}", versions.len());
    assert!(versions.contains("[0,0,0,"), "the start of the change is shown");
    let editor = stack.page(&gateway, &edit, &session.cookie).await.1;
    assert!(editor.len() < MOST, "{}", editor.len());
    let whole = schema(1).replace('"', "&#34;");
    assert!(editor.contains(&format!("{whole}</textarea>")), "the form has the whole schema");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_long_texts_has_a_small_page() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let text = "é‹&\"".repeat(100_000);
    let run = stack.create_run(&gateway, &text, None).await;
    let event = |seq: u32, data: &str| {
        format!(
            "INSERT INTO run_events (run_id, seq, type, at, attempt, data) VALUES ('{run}', {seq}, \
             'message', capi_now(), 1, {data})"
        )
    };
    stack
        .database
        .run_sql(event(2, "jsonb_build_object('role', 'user', 'content', repeat('&\"', 300000))"))
        .await;
    let page = stack.page(&gateway, &format!("/runs/{run}"), &session.cookie).await.1;
    assert!(page.len() < MOST, "{}", page.len());
    let notes: Vec<_> = page.split("Cut: ").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(
        notes,
        [
            "63.9 KiB of 683.5 KiB are shown. The API returns all of it.",
            "64.0 KiB of 585.9 KiB are shown. Raw JSONL has all of it."
        ]
    );
    let again = stack.page(&gateway, &format!("/apps/{}?from={run}", stack.app), &session.cookie).await.1;
    let whole = text.replace('&', "&#38;").replace('"', "&#34;");
    assert!(again.contains(&format!("{whole}</textarea>")), "the form has the whole input");
}
