//! The page of webhook deliveries: what was tried and why it failed, sending again, and the mark of webhooks
//! that were given up.

use e2e::Stack;
use e2e::console::EMAIL;

use crate::app::TestApp;

const PATH: &str = "/account/webhooks/deliveries";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_given_up_is_marked_explained_and_sent_again() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let page = async |path: &str| stack.page(&gateway, path, &session.cookie).await;
    assert!(page(PATH).await.1.contains("No deliveries yet"));
    let run = stack.create_run(&gateway, "hello", Some("http://127.0.0.1:9999/hook")).await;
    stack.cancel_run(&gateway, &run).await;
    assert!(!page("/apps").await.1.contains("failed-deliveries"));
    for sql in [
        "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, attempt = 1",
        "INSERT INTO webhook_attempts
             (delivery_id, number, at, duration_ms, status_code, error, error_code, response_body)
         SELECT id, 1, capi_now(), 12, 500, 'The receiver answered 500.', 'status', '<b>busy</b>'
         FROM webhook_deliveries",
    ] {
        assert_eq!(stack.database.run_sql(sql).await, 1);
    }
    assert!(page("/apps").await.1.contains("1 failed webhook<"), "the mark is on every page");
    let (status, shown) = page(&format!("{PATH}?status=failed&from=2020-01-01&to=2100-01-01")).await;
    assert_eq!(status, 200);
    for text in ["The receiver answered 500.", "HTTP 500", "12 ms", "&#60;b&#62;busy", &run, "Resend"] {
        assert!(shown.contains(text), "{text}");
    }
    assert!(page(&format!("{PATH}?status=delivered")).await.1.contains("No deliveries match"));
    assert_eq!(page(&format!("{PATH}?from=yesterday")).await.0, 400);
    let (_, of_run) = page(&format!("/runs/{run}")).await;
    assert!(of_run.contains(&format!("{PATH}?runId={run}")) && of_run.contains("The receiver answered 500."));

    let delivery = stack.text("SELECT id::text AS text FROM webhook_deliveries").await;
    let resend = format!("{PATH}/{delivery}/resend");
    let send = async || {
        let answer = stack.form(&gateway, &resend, Some(&session), &[]).await;
        (answer.status, answer.headers["location"].to_str().unwrap().to_owned())
    };
    assert_eq!(send().await, (303, format!("{PATH}?runId={run}&done=resent")));
    assert!(page(&format!("{PATH}?runId={run}&done=resent")).await.1.contains("is being sent again"));
    assert_eq!(send().await, (303, format!("{PATH}?done=open")), "the form is sent twice");
    assert!(!page("/apps").await.1.contains("failed-deliveries"), "it may still arrive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_is_wrong_with_the_address() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let test = async |url: &str| {
        stack.form_page(&gateway, "/account/webhooks/test", &session, &[("url", url)]).await
    };
    let (status, shown) = test("http://10.0.0.1/hook").await;
    assert_eq!(status, 400);
    assert!(shown.contains("not a public address") && shown.contains("value=\"http://10.0.0.1/hook\""));
    let (status, shown) = test("http://127.0.0.1:9999/hook").await;
    assert!(status == 503 && shown.contains("No webhook-dispatcher took the test"), "{status}");
}
