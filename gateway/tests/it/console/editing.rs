//! Edits of an app: by two at once, of its rules for fetches, and of more versions than the plan allows.

use e2e::Stack;
use e2e::console::EMAIL;

use super::app_form;
use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn two_who_edit_at_once_do_not_overwrite_each_other() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let path = format!("/apps/{}/edit", stack.app);
    let save = async |name: &str, base: &str| {
        let fields = app_form(&[("name", name), ("prompt", "p"), ("base", base)]);
        stack.form_page(&gateway, &path, &session, &fields).await
    };
    assert_eq!(save("First", "1").await.0, 303);
    assert_eq!(save(" ", "1").await.0, 400, "an empty name");
    assert!(
        save(" ", "1").await.1.contains("name=\"base\" value=\"1\""),
        "the form still has version 1 as its base"
    );
    assert_eq!(save("Second", "1").await.0, 400, "version 1 is no longer current");
    assert_eq!(stack.text("SELECT name AS text FROM apps").await, "First");
    assert_eq!(save("Second", "2").await.0, 303, "after a look at version 2");
    stack.import("name = 'Third'\nprompt = 'x'").await;
    assert_eq!(save("Third", "3").await.0, 400, "another app has that name");
    assert_eq!(
        stack.text("SELECT count(*)::text AS text FROM audit_log WHERE action = 'app_changed'").await,
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_fetches_are_edited_and_shown() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let path = format!("/apps/{}/edit", stack.app);
    let save = async |hosts: &str, urls: &str| {
        let app = [("name", "First"), ("prompt", "p"), ("base", "1")];
        let fields = app_form(&[&app[..], &[("fetch.hosts", hosts), ("fetch.urls", urls)]].concat());
        stack.form_page(&gateway, &path, &session, &fields).await
    };
    let (status, page) = save("example.org:443\r\n*.example.net", "known").await;
    assert_eq!(status, 400);
    assert!(page.contains("Fix 1 field: Hosts.") && page.contains("id=\"error-fetch-hosts\""), "{page}");
    assert!(page.contains("*.example.net</textarea>"), "the typed text is kept");
    let (status, page) = save("", "listed").await;
    assert!(status == 400 && page.contains("Name at least one host, or choose other URLs."), "{page}");
    assert_eq!(save("example.org\r\n*.example.net\r\n", "known").await.0, 303);
    let app = stack.get(&gateway, &format!("/api/v1/apps/{}", stack.app)).await.body;
    let expected = serde_json::json!({"hosts": ["example.org", "*.example.net"], "urls": "known"});
    assert_eq!(app["fetch"], expected);
    let edit = stack.page(&gateway, &path, &session.cookie).await.1;
    assert!(edit.contains("<option value=\"known\" selected>"), "{edit}");
    let compared = stack.page(&gateway, &format!("/apps/{}/versions", stack.app), &session.cookie).await.1;
    assert!(compared.contains("*.example.net"), "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_apps_have_as_many_bytes_as_files_and_no_more() {
    let plan =
        "api = true\nrequests_per_minute = 100\napi_keys = 5\nrunning_runs = 1\nmax_stored_bytes = 12288";
    let stack = Stack::create("small", &format!("[plans.small]\n{plan}\n")).await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let path = format!("/apps/{}/edit", stack.app);
    let save = async |name: &str, base: &str| {
        let fields = app_form(&[("name", name), ("prompt", "p"), ("base", base)]);
        stack.form_page(&gateway, &path, &session, &fields).await
    };
    assert_eq!(save("Two", "1").await.0, 303);
    assert_eq!(save("Three", "2").await.0, 303);
    let (status, page) = save("Four", "3").await;
    assert_eq!(status, 409, "{page}");
    assert!(
        page.contains("all versions of your apps would have 16.0 KiB, and your plan allows 12.0 KiB"),
        "{page}"
    );
    assert!(page.contains("value=\"Four\""), "the text is kept: {page}");
    assert_eq!(save("Three", "3").await.0, 303, "unchanged");
    let restore = format!("/apps/{}/versions/restore", stack.app);
    let fields = [("version", "1"), ("base", "3")];
    let restored = stack.form(&gateway, &restore, Some(&session), &fields).await;
    assert_eq!(restored.status, 409, "{restored:?}");
    let created = stack.form(&gateway, "/apps", Some(&session), &[("sample", "")]).await;
    assert_eq!(created.status, 409, "{created:?}");
    assert_eq!(stack.database.run_sql("SELECT 1 FROM app_versions").await, 3);
    let usage = stack.page(&gateway, "/account/usage", &session.cookie).await.1;
    assert!(usage.contains("Versions of apps") && usage.contains("12.0 KiB of 12.0 KiB"), "{usage}");
}
