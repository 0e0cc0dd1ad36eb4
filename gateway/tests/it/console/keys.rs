//! What the page of keys says before a key expires, about an unused key, and when the account has as many
//! keys as its plan allows.

use e2e::Stack;
use e2e::console::EMAIL;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_end_or_lie_idle_say_so_and_the_limit_explains_itself() {
    let stack = Stack::pro().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let page = async || stack.page(&gateway, "/account/keys", &session.cookie).await.1;
    for (name, days) in [("later", "15"), ("soon", "13")] {
        let made =
            stack.form_page(&gateway, "/account/keys", &session, &[("name", name), ("days", days)]).await;
        assert!(made.0 == 200 && made.1.contains("Copy this key now"), "{}", made.0);
    }
    let shown = page().await;
    assert_eq!(shown.matches("expires soon").count(), 1, "13 days before its end, and not 15");
    assert!(!shown.contains("unused for 90 days"));
    let idle = "UPDATE api_keys SET created_at = capi_now() - interval '91 days', last_used_at = NULL WHERE \
                name = 'test'";
    stack.database.run_sql(idle).await;
    assert_eq!(page().await.matches("unused for 90 days").count(), 1);

    for (name, days, wrong) in [
        ("", "", "1 to 100"),
        ("x\u{7}", "", "on one line"),
        ("x", "0", "1 to 3650"),
        ("x", "two", "whole number"),
    ] {
        let (status, said) =
            stack.form_page(&gateway, "/account/keys", &session, &[("name", name), ("days", days)]).await;
        assert!(status == 400 && said.contains(wrong), "{name:?} {days:?}: {status}");
    }
    for number in 3..10 {
        let name = format!("key {number}");
        assert_eq!(stack.form_page(&gateway, "/account/keys", &session, &[("name", &name)]).await.0, 200);
    }
    assert!(page().await.contains("10 keys are active, the most that the plan allows"));
    let (status, said) = stack.form_page(&gateway, "/account/keys", &session, &[("name", "eleventh")]).await;
    assert!(status == 400 && said.contains("10 keys are active"), "{status}");
    stack.set_plan(EMAIL, "free").await;
    assert!(page().await.contains("API keys need a paid plan"));
}
