//! K11: what comes from elsewhere, or after the end of a session, is refused; every page is closed to scripts that are not ours.

use e2e::console::{EMAIL, Session};
use e2e::form::{BOUNDARY, Part, form};
use e2e::{Answer, Process, Stack};
use gateway::routes::{Access, endpoints};
use shared::ids::ArtifactId;

/// Something of ada's for each parameter of the table.
async fn fill(stack: &Stack, gateway: &Process) -> impl Fn(&str) -> String + use<> {
    let run = stack.create_run(gateway, "canary of ada", None).await;
    let artifact = ArtifactId::generate();
    stack.add_artifact(run.parse().unwrap(), artifact, "text/plain", "a.txt", "canary".into()).await;
    let key = stack.text("SELECT id::text AS text FROM api_keys LIMIT 1").await;
    let app = stack.app.to_string();
    move |path: &str| {
        path.replace("{appId}", &app)
            .replace("{artifactId}", &artifact.to_string())
            .replace("{keyId}", &key)
            .replace("{id}", &run)
    }
}

/// The form that starts a run.
async fn post_form(stack: &Stack, gateway: &Process, session: &Session, parts: &[Part<'_>]) -> Answer {
    let request = stack.client().post(format!("{}/apps/{}/run", gateway.url(), stack.app));
    let request = request.header("cookie", &session.cookie).header("origin", gateway.url());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    stack.send(request.header("content-type", kind).body(form(parts))).await
}

async fn state(stack: &Stack) -> String {
    let sql = "SELECT (SELECT string_agg(status, ',') FROM runs) || (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL)
                   || (SELECT count(*) FROM app_versions) || (SELECT count(*) FROM webhook_secrets) || (SELECT count(*) FROM sessions)
                   || (SELECT string_agg(password_hash, ',') FROM users) || (SELECT count(*) FROM apps WHERE archived_at IS NOT NULL) AS text";
    stack.text(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_pages_change_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let fill = fill(&stack, &gateway).await;
    let session = stack.session(&gateway, EMAIL).await;
    let before = state(&stack).await;
    let own = gateway.url();
    let stranger = Session { form_token: "x".repeat(43), ..session.clone() };
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
            (&stranger, &[("origin", &own), ("sec-fetch-site", "same-origin")]),
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
        "nor sign anybody in"
    );
    assert_eq!(state(&stack).await, before);
    assert_eq!(stack.page(&gateway, "/apps", &session.cookie).await.0, 200, "nor end the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_keeps_to_its_owner() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let fill = fill(&stack, &gateway).await;
    stack.account("bob@example.com", "big").await;
    let (bob, before) = (stack.session(&gateway, "bob@example.com").await, state(&stack).await);
    let nobodys = "0197f7a0-0000-7000-8000-000000000000";
    let mut tried = 0;
    for endpoint in endpoints().iter().filter(|one| one.access == Access::Session) {
        let path = fill(endpoint.path);
        let unknown = endpoint
            .path
            .replace("{appId}", nobodys)
            .replace("{artifactId}", nobodys)
            .replace("{keyId}", nobodys)
            .replace("{id}", nobodys);
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
            let (_, nobody) = stack.page(&gateway, &path, "").await;
            assert!(nobody.contains("<h1>Sign in</h1>"), "{path} without a session");
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
async fn a_session_is_never_taken_over_and_over_when_it_is_over() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    let other_gateway = stack.start_console().await;
    // One that somebody else has put into the browser.
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
        "over on every gateway, the other one is not"
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
        "others are out, and so is the old cookie"
    );
    let fresh = Session { cookie: fresh, ..second };
    assert!(signed_in(&fresh).await, "whoever changed it goes on");
    assert_eq!(stack.form(&gateway, "/account/security/sign-out", Some(&fresh), &[]).await.status, 303);
    assert!(!signed_in(&fresh).await);

    let old = [("email", EMAIL), ("password", e2e::PASSWORD)];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &old).await.status, 401);
    stack
        .cli(&["user", "set-password", "--email", EMAIL, "--password-stdin"], &format!("{}\n", e2e::PASSWORD))
        .await;
    let again = stack.session(&gateway, EMAIL).await;
    stack.database.run_sql("UPDATE sessions SET last_seen_at = capi_now() - interval '15 days'").await;
    assert!(!signed_in(&again).await, "idle for too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_token_is_replaced_every_day() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
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
    assert_eq!(get(&session.cookie).await, (true, None), "requests that were under way still get in");
    stack.database.run_sql("UPDATE sessions SET rotated_at = rotated_at - interval '2 minutes'").await;
    assert!(!get(&session.cookie).await.0, "but not for long");
    let session = Session { cookie: fresh, ..session };
    assert_eq!(
        stack.form(&gateway, "/sign-out", Some(&session), &[]).await.status,
        303,
        "open forms stay good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_and_tells_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
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
    for _ in 0..9 {
        assert_eq!(attempt(EMAIL).await, (401, false));
    }
    assert_eq!(attempt(EMAIL).await, (429, false));
    let right = [("email", EMAIL), ("password", e2e::PASSWORD)];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &right).await.status, 429, "not even the right one");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_is_closed_unless_it_is_open() {
    let mut stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
    assert_eq!(stack.page(&gateway, "/sign-up", "").await.0, 404);
    let new = [("email", "new@example.com"), ("password", "battery staple")];
    assert_eq!(stack.form(&gateway, "/sign-up", None, &new).await.status, 404);
    stack.settings = stack.settings_with("CAPI_SIGNUP", "open");
    let gateway = stack.start_console().await;
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
    assert!(keys.contains("API keys need a paid plan"), "the gate is explained where it is");
    assert!(stack.page(&gateway, "/apps", cookie).await.1.contains("No app yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_https_there_is_no_session() {
    let stack = Stack::unlimited().await;
    // http://capi.test
    let gateway = stack.start(e2e::Service::Gateway).await;
    let (status, page) = stack.page(&gateway, "/sign-in", "").await;
    assert!(
        status == 200 && page.contains("CAPI_PUBLIC_URL=https://") && !page.contains("type=\"password\"")
    );
    let right = [("email", EMAIL), ("password", e2e::PASSWORD)];
    let answer = stack.form(&gateway, "/sign-in", None, &right).await;
    assert!(answer.status == 200 && !answer.headers.contains_key("set-cookie"), "{answer:?}");
    let gateway = stack.start_with(e2e::Service::Gateway, "CAPI_PUBLIC_URL", "https://capi.test").await;
    let answer = stack.form(&gateway, "/sign-in", None, &right).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-capi_session=") && cookie.contains("; Secure"),
        "it is bound to https"
    );
    let (_, page) = stack.page(&gateway, "/signed-in?next=/apps", "").await;
    assert!(page.contains("did not keep the session") && page.contains("https://capi.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_closed_to_foreign_scripts() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_console().await;
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
            assert!(!html.contains("src=\"http"), "{path}: nothing from elsewhere");
            pages += 1;
        } else if path.contains("/artifacts/") {
            assert!(policy.unwrap().starts_with("sandbox"), "{path}");
        }
    }
    assert!(pages > 15, "the table is read: {pages}");
}
