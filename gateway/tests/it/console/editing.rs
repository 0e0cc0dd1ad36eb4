//! Two editors of one app.

use e2e::Stack;
use e2e::console::EMAIL;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn two_who_edit_at_once_do_not_overwrite_each_other() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let path = format!("/apps/{}/edit", stack.app);
    let save = async |name: &str, base: &str| {
        let limits = ["steps", "seconds", "tokens", "tool_calls", "output_bytes", "workspace_bytes"]
            .map(|limit| format!("limits.{limit}"));
        let mut fields = vec![("name", name), ("prompt", "p"), ("base", base)];
        fields.extend(limits.iter().map(|limit| (limit.as_str(), "5")));
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
