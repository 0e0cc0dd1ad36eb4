//! K11: forms of other sites, and requests after the end of a session, are refused. Every page forbids
//! scripts of other sites.

use e2e::console::{EMAIL, Session};
use e2e::form::{BOUNDARY, Part, form};
use e2e::{Answer, Gateway, Stack};
use gateway::endpoints;
use gateway::http::endpoint::Access;
use shared::ids::ArtifactId;

use crate::app::TestApp;

/// Something of ada's for each parameter of the table.
async fn fill(stack: &Stack, gateway: &TestApp) -> impl Fn(&str) -> String + use<> {
    let run = stack.create_run(gateway, "canary of ada", None).await;
    let artifact = ArtifactId::generate();
    stack.add_artifact(run.parse().unwrap(), artifact, "text/plain", "a.txt", "canary".into()).await;
    let key = stack.text("SELECT id::text AS text FROM api_keys LIMIT 1").await;
    let delivery = ended_delivery(stack, gateway).await;
    let app = stack.app.to_string();
    move |path: &str| {
        path.replace("{appId}", &app)
            .replace("{artifactId}", &artifact.to_string())
            .replace("{keyId}", &key)
            .replace("{deliveryId}", &delivery)
            .replace("{id}", &run)
    }
}

/// A delivery that its owner could send again.
async fn ended_delivery(stack: &Stack, gateway: &TestApp) -> String {
    let run = stack.create_run(gateway, "canary of ada", Some("http://127.0.0.1:9999/canary")).await;
    stack.cancel_run(gateway, &run).await;
    stack.database.run_sql("UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL").await;
    stack.text("SELECT id::text AS text FROM webhook_deliveries").await
}

/// The form that starts a run.
async fn post_form(stack: &Stack, gateway: &TestApp, session: &Session, parts: &[Part<'_>]) -> Answer {
    let request = stack.client().post(format!("{}/apps/{}/run", gateway.url(), stack.app));
    let request = request.header("cookie", &session.cookie).header("origin", gateway.url());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    stack.send(request.header("content-type", kind).body(form(parts))).await
}

async fn state(stack: &Stack) -> String {
    let sql = "SELECT (SELECT string_agg(status, ',') FROM runs) || (SELECT count(*) FROM api_keys WHERE \
               revoked_at IS NULL)
                   || (SELECT count(*) FROM app_versions) || (SELECT count(*) FROM webhook_secrets) || \
                   (SELECT count(*) FROM sessions)
                   || (SELECT string_agg(password_hash, ',') FROM users) || (SELECT count(*) FROM apps \
                   WHERE archived_at IS NOT NULL) AS text";
    stack.text(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_pages_change_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let fill = fill(&stack, &gateway).await;
    let session = stack.session(&gateway, EMAIL).await;
    let before = state(&stack).await;
    let own = gateway.url();
    let foreign_token = Session { form_token: "x".repeat(43), ..session.clone() };
    let mut tried = 0;
    for endpoint in
        endpoints().iter().filter(|one| one.access == Access::Session && one.method.as_str() == "POST")
    {
        let path = fill(endpoint.path);
        for (who, headers) in [
            (&session, &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..]),
            (&session, &[("origin", "https://evil.example")]),
            (&session, &[("origin", "null")]),
            (&session, &[("origin", &own), ("sec-fetch-site", "same-site")]),
            (&session, &[]),
            (&foreign_token, &[("origin", &own), ("sec-fetch-site", "same-origin")]),
        ] {
            // The one form with files is read as such.
            let answer = stack.form_from(&gateway, &path, Some(who), &[("version", "1")], headers).await;
            let refused = answer.status == 403 || (path.ends_with("/run") && answer.status == 400);
            assert!(refused, "{path} {headers:?}: {}", answer.status);
        }
        tried += 1;
    }
    assert!(tried > 12, "the table is read");
    let parts = [("name=\"form_token\"", b"x".as_slice()), ("name=\"input.text\"", b"x")];
    assert_eq!(post_form(&stack, &gateway, &session, &parts).await.status, 403, "nor start a run");
    let foreign = [("origin", "https://evil.example")];
    let login = [("email", EMAIL), ("password", e2e::PASSWORD)];
    assert_eq!(
        stack.form_from(&gateway, "/sign-in", None, &login, &foreign).await.status,
        403,
        "nor sign a user in"
    );
    assert_eq!(state(&stack).await, before);
    assert_eq!(stack.page(&gateway, "/apps", &session.cookie).await.0, 200, "nor end the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_keeps_to_its_owner() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let fill = fill(&stack, &gateway).await;
    stack.account("bob@example.com", "big").await;
    let (bob, before) = (stack.session(&gateway, "bob@example.com").await, state(&stack).await);
    let unknown = "0197f7a0-0000-7000-8000-000000000000";
    let mut tried = 0;
    for endpoint in endpoints().iter().filter(|one| one.access == Access::Session) {
        let path = fill(endpoint.path);
        let unknown = endpoint
            .path
            .replace("{appId}", unknown)
            .replace("{artifactId}", unknown)
            .replace("{keyId}", unknown)
            .replace("{deliveryId}", unknown)
            .replace("{id}", unknown);
        assert!(!path.contains('{'), "{path}: give this test something of ada's to ask for");
        if endpoint.method.as_str() == "GET" {
            let (status, shown) = stack.page(&gateway, &path, &bob.cookie).await;
            assert!(!shown.contains("canary"), "{path}");
            if endpoint.path.contains('{') {
                let (as_unknown, said) = stack.page(&gateway, &unknown, &bob.cookie).await;
                let without_id =
                    |page: &str| page.split("<p class=\"faint\">Request").next().unwrap().to_owned();
                assert_eq!((status, without_id(&shown)), (as_unknown, without_id(&said)), "{path}");
                assert_eq!(status, 404, "{path}");
            }
            let (_, signed_out) = stack.page(&gateway, &path, "").await;
            assert!(signed_out.contains("<h1>Sign in</h1>"), "{path} without a session");
        } else if endpoint.path.contains('{') && !endpoint.path.ends_with("/run") {
            let answer = stack.form(&gateway, &path, Some(&bob), &[("version", "1"), ("name", "x")]).await;
            assert_eq!(answer.status, 404, "{path}");
            tried += 1;
        }
        tried += usize::from(endpoint.path.contains('{'));
    }
    assert!(tried > 20, "the table is read");
    for (token, status) in [(bob.form_token.as_str(), 404), ("x", 404)] {
        let parts = [("name=\"form_token\"", token.as_bytes()), ("name=\"input.text\"", b"x")];
        let answer = post_form(&stack, &gateway, &bob, &parts).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(state(&stack).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_closed_to_foreign_scripts() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let fill = fill(&stack, &gateway).await;
    let session = stack.session(&gateway, EMAIL).await;
    let mut pages = 0;
    for endpoint in endpoints().iter().filter(|one| {
        one.method.as_str() == "GET" && !one.path.starts_with("/api") && !one.path.starts_with("/docs")
    }) {
        let path = fill(endpoint.path);
        if path.ends_with("/live") {
            continue;
        }
        let request =
            stack.client().get(format!("{}{path}", gateway.url())).header("cookie", &session.cookie);
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers.get("content-security-policy").map(|value| value.to_str().unwrap().to_owned());
        if headers["content-type"].to_str().unwrap().starts_with("text/html") {
            let policy = policy.unwrap_or_else(|| panic!("{path} has no policy"));
            assert!(
                policy.contains("script-src 'self';")
                    && policy.contains("frame-ancestors 'none'")
                    && !policy.contains("unsafe"),
                "{path}"
            );
            let html = response.text().await.unwrap();
            assert!(
                !html.contains(" style=") && !html.contains("<style") && !html.contains("javascript:"),
                "{path}"
            );
            assert_eq!(
                html.matches("<script").count(),
                html.matches("<script src=\"/console/").count(),
                "{path}"
            );
            assert!(!html.contains("src=\"http"), "{path}: no address of another site");
            pages += 1;
        } else if path.contains("/artifacts/") {
            assert!(policy.unwrap().starts_with("sandbox"), "{path}");
        }
    }
    assert!(pages > 15, "the table is read: {pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_countless_parts_and_a_stream_without_a_reader_hold_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let name = format!("name=\"{}\"", "x".repeat(500));
    let parts: Vec<Part<'_>> = vec![(name.as_str(), b"".as_slice()); 3000];
    assert_eq!(post_form(&stack, &gateway, &session, &parts).await.status, 413, "names count too");
    let run = stack.create_run(&gateway, "x", None).await;
    for path in ["live", "events.jsonl"] {
        let request = stack.client().head(format!("{}/runs/{run}/{path}", gateway.url()));
        assert_eq!(stack.send(request.header("cookie", &session.cookie)).await.status, 200, "{path}");
    }
    assert_eq!(
        stack.text("SELECT coalesce(sum(cardinality(ends)), 0)::text AS text FROM open_waits").await,
        "0"
    );
    // The name of the cookie is bound to the host only as it is.
    let spelt = session.cookie.replace("capi", "%63api");
    assert!(stack.page(&gateway, "/apps", &spelt).await.1.contains("<h1>Sign in</h1>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_once_however_often_the_form_is_sent() {
    let mut stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let seen = stack.text("SELECT id::text AS text FROM webhook_secrets").await;
    let first = stack.webhook_secret().await;
    for _ in 0..3 {
        let answer =
            stack.form(&gateway, "/account/webhooks/rotate", Some(&session), &[("seen", &seen)]).await;
        assert_eq!(answer.status, 303);
    }
    let valid = "SELECT count(*)::text AS text FROM webhook_secrets WHERE expires_at IS NULL OR expires_at \
                 > capi_now()";
    assert_eq!(stack.text(valid).await, "2", "the first one is still good");
    let (status, page) = stack.form_page(&gateway, "/account/webhooks/reveal", &session, &[]).await;
    let second = stack.webhook_secret().await;
    assert!(
        status == 200
            && page.contains(&second.replace('+', "&#43;")) | page.contains(&second)
            && first != second
    );

    // Encrypted with a former key: the page says so, and a rotation repairs it.
    let changed = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    stack.settings = stack.settings_with("CAPI_SECRET_KEY", changed);
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let (status, page) = stack.page(&gateway, "/account/webhooks", &session.cookie).await;
    assert!(status == 200 && page.contains("The secret cannot be read"), "{status}");
    let seen = stack.text("SELECT id::text AS text FROM webhook_secrets WHERE expires_at IS NULL").await;
    let answer = stack.form(&gateway, "/account/webhooks/rotate", Some(&session), &[("seen", &seen)]).await;
    assert_eq!(answer.status, 303);
    let (status, page) = stack.form_page(&gateway, "/account/webhooks/reveal", &session, &[]).await;
    assert!(status == 200 && page.contains("whsec_"), "{status}");
    let logged = "SELECT count(*)::text AS text FROM audit_log WHERE action IN ('secret_rotated', \
                  'secret_revealed') AND actor = 'console'";
    assert_eq!(stack.text(logged).await, "4", "two rotations and two reveals");
}
