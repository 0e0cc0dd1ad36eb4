//! K11: a session begins with a sign-in. No other site can plant one. After its end its cookie is refused.

use std::time::Instant;

use e2e::console::{EMAIL, Session};
use e2e::{Gateway, Stack};

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cannot_be_planted_and_ends_everywhere() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let other_gateway = TestApp::start_console(&stack).await;
    // A cookie that another site planted in the browser.
    let planted = format!("capi_session={}", "A".repeat(43));
    assert_eq!(stack.page(&gateway, "/apps", &planted).await.1.matches("<h1>Sign in</h1>").count(), 1);
    let first = stack.session(&gateway, EMAIL).await;
    let second = stack.session(&gateway, EMAIL).await;
    assert!(first.cookie != planted && first.cookie != second.cookie, "each sign-in makes its own");
    assert_ne!(first.form_token, second.form_token);
    let mixed = Session { cookie: first.cookie.clone(), form_token: second.form_token.clone() };
    assert_eq!(
        stack.form(&gateway, "/sign-out", Some(&mixed), &[]).await.status,
        403,
        "a form belongs to its session"
    );

    let signed_in = async |session: &Session| {
        stack.page(&other_gateway, "/account/keys", &session.cookie).await.1.contains("Create a key")
    };
    assert!(signed_in(&first).await && signed_in(&second).await);
    assert_eq!(stack.form(&gateway, "/sign-out", Some(&first), &[]).await.status, 303);
    assert!(
        !signed_in(&first).await && signed_in(&second).await,
        "the first session is over on every gateway, the second is not"
    );

    let third = stack.session(&gateway, EMAIL).await;
    let change = [("old", "wrong password"), ("new", "battery staple")];
    assert_eq!(stack.form(&gateway, "/account/security/password", Some(&second), &change).await.status, 400);
    let change = [("old", e2e::PASSWORD), ("new", "battery staple")];
    let changed = stack.form(&gateway, "/account/security/password", Some(&second), &change).await;
    assert_eq!(changed.status, 303);
    let fresh = changed.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(
        !signed_in(&third).await && !signed_in(&second).await,
        "other sessions and the old cookie are refused"
    );
    let fresh = Session { cookie: fresh, ..second };
    assert!(signed_in(&fresh).await, "the session that changed the password continues");
    assert_eq!(stack.form(&gateway, "/account/security/sign-out", Some(&fresh), &[]).await.status, 303);
    assert!(!signed_in(&fresh).await);

    let old = [("email", EMAIL), ("password", e2e::PASSWORD)];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &old).await.status, 401);
    stack.reset_password().await;
    let again = stack.session(&gateway, EMAIL).await;
    stack.database.run_sql("UPDATE sessions SET last_seen_at = capi_now() - interval '15 days'").await;
    assert!(!signed_in(&again).await, "idle for too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_token_is_replaced_every_day() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    stack.database.run_sql("UPDATE sessions SET rotated_at = capi_now() - interval '25 hours'").await;
    let get = async |cookie: &str| {
        let request = stack.client().get(format!("{}/account/keys", gateway.url())).header("cookie", cookie);
        let response = request.send().await.unwrap();
        let fresh = response
            .headers()
            .get("set-cookie")
            .map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned());
        (response.text().await.unwrap().contains("Create a key"), fresh)
    };
    let (inside, fresh) = get(&session.cookie).await;
    let fresh = fresh.expect("a fresh cookie");
    assert!(inside && fresh != session.cookie);
    assert_eq!(get(&session.cookie).await, (true, None), "the old cookie is valid for a minute");
    stack.database.run_sql("UPDATE sessions SET rotated_at = rotated_at - interval '2 minutes'").await;
    assert!(get(&session.cookie).await.0, "a lost response signs no user out");
    assert!(get(&fresh).await.0);
    assert!(!get(&session.cookie).await.0, "the old cookie is refused after the new one was sent");
    let session = Session { cookie: fresh, ..session };
    assert_eq!(
        stack.form(&gateway, "/sign-out", Some(&session), &[]).await.status,
        303,
        "open forms stay good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_throttled_and_reveal_no_account() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let attempt = async |email: &str| {
        let answer =
            stack.form(&gateway, "/sign-in", None, &[("email", email), ("password", "guess guess")]).await;
        (answer.status, answer.headers.contains_key("set-cookie"))
    };
    assert_eq!(
        attempt(EMAIL).await,
        attempt("nobody@example.com").await,
        "an unknown account looks the same"
    );
    // Ten at once, and one more every 30 s.
    let (begun, mut tried) = (Instant::now(), 1);
    let stopped = loop {
        match attempt(EMAIL).await {
            (401, false) => tried += 1,
            other => break other,
        }
        assert!(tried <= 11 + begun.elapsed().as_secs() / 30, "{tried} attempts");
    };
    assert_eq!(stopped, (429, false));
    assert!(tried >= 10, "{tried} attempts");
    let right = [("email", EMAIL), ("password", e2e::PASSWORD)];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &right).await.status, 429, "not even the right one");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_is_closed_unless_it_is_open() {
    let mut stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    assert_eq!(stack.page(&gateway, "/sign-up", "").await.0, 404);
    let new = [("email", "new@example.com"), ("password", "battery staple")];
    assert_eq!(stack.form(&gateway, "/sign-up", None, &new).await.status, 404);
    stack.settings = stack.settings_with("CAPI_SIGNUP", "open");
    let gateway = TestApp::start_console(&stack).await;
    assert_eq!(
        stack.form(&gateway, "/sign-up", None, &[("email", "new@"), ("password", "short")]).await.status,
        400
    );
    assert_eq!(stack.form(&gateway, "/sign-up", None, &new).await.status, 303);
    assert_eq!(stack.form(&gateway, "/sign-up", None, &new).await.status, 409);
    assert_eq!(stack.text("SELECT plan AS text FROM users WHERE email = 'new@example.com'").await, "free");
    let new = [("email", "NEW@example.com"), ("password", "battery staple")];
    let signed_in = stack.form(&gateway, "/sign-in", None, &new).await;
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let keys = stack.page(&gateway, "/account/keys", cookie).await.1;
    assert!(keys.contains("API keys need a paid plan"), "the page explains why");
    assert!(stack.page(&gateway, "/apps", cookie).await.1.contains("No apps yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_https_there_is_no_session() {
    let stack = Stack::unlimited().await;
    // http://capi.test
    let gateway = TestApp::start(&stack).await;
    let (status, page) = stack.page(&gateway, "/sign-in", "").await;
    assert!(
        status == 200 && page.contains("CAPI_PUBLIC_URL=https://") && !page.contains("type=\"password\"")
    );
    let right = [("email", EMAIL), ("password", e2e::PASSWORD)];
    let answer = stack.form(&gateway, "/sign-in", None, &right).await;
    assert!(answer.status == 200 && !answer.headers.contains_key("set-cookie"), "{answer:?}");
    let gateway = TestApp::start_with(&stack, "CAPI_PUBLIC_URL", "https://capi.test").await;
    let own = [("origin", "https://capi.test")];
    let answer = stack.form_from(&gateway, "/sign-in", None, &right, &own).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-capi_session=") && cookie.contains("; Secure"),
        "it is bound to https"
    );
    let (_, page) = stack.page(&gateway, "/signed-in?next=/apps", "").await;
    assert!(page.contains("did not keep the session") && page.contains("https://capi.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_fails_if_the_password_changes_meanwhile() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    // The account's lock is held, as if a change were in progress: the sign-in has compared the password and
    // waits.
    let change = "SELECT 1 FROM user_slots FOR UPDATE; UPDATE users SET password_hash = password_hash || ' '";
    let meanwhile = stack.meanwhile(change).await;
    let right = [("email", EMAIL), ("password", e2e::PASSWORD)];
    let (signed_in, ()) = tokio::join!(stack.form(&gateway, "/sign-in", None, &right), async {
        let waiting = "SELECT count(*)::text AS text FROM pg_stat_activity WHERE datname = \
                       current_database() AND wait_event_type = 'Lock'";
        shared::testing::eventually("the sign-in waits", async || {
            (stack.text(waiting).await == "1").then_some(())
        })
        .await;
        meanwhile.commit().await;
    });
    assert_eq!(signed_in.status, 401, "{signed_in:?}");
    assert_eq!(stack.page(&gateway, "/apps", &session.cookie).await.0, 200);
}
