//! Who gets in: sign-ups beside sign-ins, spellings of an email, proxies, and the networks of webhooks.

use e2e::console::EMAIL;
use e2e::{Gateway, PASSWORD, Stack};
use serde_json::json;

use crate::app::TestApp;

/// A11: before, sign-ups used up the attempts of everyone behind the same address.
#[tokio::test(flavor = "multi_thread")]
async fn sign_ups_do_not_lock_out_who_signs_in_from_there() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_SIGNUP", "open");
    let gateway = TestApp::start_console(&stack).await;
    let mut last = 0;
    for number in 0..35 {
        let email = format!("new{number}@example.com");
        let form = [("email", email.as_str()), ("password", "short")];
        last = stack.form(&gateway, "/sign-up", None, &form).await.status;
    }
    assert_eq!(last, 429, "sign-ups have a limit of their own");
    stack.session(&gateway, EMAIL).await;
}

/// A14: PostgreSQL lowers U+0130 to `i` in most locales, Rust does not.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_has_one_normal_form() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_SIGNUP", "open");
    let gateway = TestApp::start_console(&stack).await;
    stack.account_without_key("i@example.com", "free").await;
    let sign_in = async |email: &str| {
        stack.form(&gateway, "/sign-in", None, &[("email", email), ("password", PASSWORD)]).await.status
    };
    assert_eq!(sign_in(" I@EXAMPLE.com ").await, 303);
    assert_eq!(sign_in("\u{130}@example.com").await, 401, "another account");
    // A row of a former version holds the email as it was typed.
    stack.database.run_sql("UPDATE users SET email = 'I@Example.com' WHERE email = 'i@example.com'").await;
    assert_eq!(sign_in("i@example.com").await, 303);
    let again = [("email", "i@EXAMPLE.COM"), ("password", "battery staple")];
    assert_eq!(stack.form(&gateway, "/sign-up", None, &again).await.status, 409);
    let new = [("email", " New@Example.com"), ("password", "battery staple")];
    assert_eq!(stack.form(&gateway, "/sign-up", None, &new).await.status, 303);
    let stored = stack.text("SELECT count(*)::text AS text FROM users WHERE email = 'new@example.com'").await;
    assert_eq!(stored, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_listed_is_shown_to_the_person_behind_it() {
    let stack = Stack::unlimited().await;
    let activity = async |gateway: &TestApp, forwarded: &str| {
        let session = stack.session(gateway, EMAIL).await;
        let request = stack.client().get(format!("{}/account/activity", gateway.url()));
        let request = request.header("cookie", &session.cookie).header("x-forwarded-for", forwarded);
        request.send().await.unwrap().text().await.unwrap()
    };
    let gateway = TestApp::start_console(&stack).await;
    let page = activity(&gateway, "198.51.100.7:5678").await;
    assert!(page.contains("<code>127.0.0.1</code> that capi does not trust"), "{page}");
    assert!(!activity(&gateway, "").await.contains("unlisted-proxy"));
    let settings = stack.settings_with("CAPI_PUBLIC_URL", "http://localhost");
    let trusting = ("CAPI_TRUSTED_PROXIES".to_owned(), "127.0.0.0/8".to_owned());
    let gateway = TestApp::start_as(&[settings, vec![trusting]].concat()).await;
    assert!(!activity(&gateway, "198.51.100.7:5678").await.contains("unlisted-proxy"));
}

/// A13: before, one setting opened a network to the webhooks of every account.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_decides_which_networks_its_webhooks_reach() {
    let limits = "api = true\nrequests_per_minute = 100\napi_keys = 10\nrunning_runs = 3";
    let plans = format!(
        "[plans.outside]\n{limits}\nwebhook_networks = []\n\
         [plans.inside]\n{limits}\nwebhook_networks = ['10.0.0.0/8']\n"
    );
    let stack = Stack::create("outside", &plans).await;
    let gateway = TestApp::start(&stack).await;
    for (plan, loopback, private) in [("pro", 202, 400), ("outside", 400, 400), ("inside", 400, 202)] {
        stack.set_plan(EMAIL, plan).await;
        for (url, expected) in [
            ("http://127.0.0.1:8080/hook", loopback),
            ("http://2130706433:8080/hook", loopback),
            ("http://localhost:3000/hook", loopback),
            ("http://hooks.localhost.:3000/hook", loopback),
            ("http://[::1]:3000/hook", 400),
            ("http://10.1.2.3/hook", private),
            ("https://example.org/hook", 202),
        ] {
            let body = json!({"appId": stack.app, "inputs": {"text": "x"}, "webhookUrl": url});
            let answer = stack.post(&gateway, "/api/v1/runs", &body).await;
            assert_eq!(answer.status, expected, "{plan} {url}: {answer:?}");
            if expected == 400 {
                assert_eq!(answer.body["errors"][0]["pointer"], "/webhookUrl", "{answer:?}");
                assert!(answer.body["detail"].as_str().unwrap().contains("use a public host"), "{answer:?}");
            }
            let dry = stack.post(&gateway, "/api/v1/runs?dryRun=true", &body).await.status;
            assert_eq!(dry, if expected == 202 { 200 } else { expected }, "{plan} {url}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_run_shows_the_hosts_that_it_contacted() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let (id, session) = (stack.create_run(&gateway, "x", None).await, stack.session(&gateway, EMAIL).await);
    let page = async || stack.page(&gateway, &format!("/runs/{id}"), &session.cookie).await.1;
    assert!(!page().await.contains("Contacted hosts"));
    stack.database.run_sql("UPDATE runs SET contacted_hosts = '{a.example,b.example}'").await;
    assert!(page().await.contains("a.example, b.example"), "{}", page().await);
    let run = stack.get(&gateway, &format!("/api/v1/runs/{id}")).await.body;
    assert_eq!(run["contactedHosts"], json!(["a.example", "b.example"]));
}
