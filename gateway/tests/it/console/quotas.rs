//! The console shows what an account uses of its quotas, and says in its own words what does not fit.

use e2e::console::{EMAIL, Session};
use e2e::form::{BOUNDARY, Part, form};
use e2e::{Gateway, Stack};

use crate::app::TestApp;

const PLAN: &str = "[plans.small]\napi = true\nrequests_per_minute = 1000\napi_keys = 5\nrunning_runs = 1\n\
                    max_pending_runs = 1\nmax_stored_bytes = 2097152\nmax_request_bytes_per_day = 10485760\n\
                    max_tokens_per_day = 1000\nmax_steps = 30\nmax_seconds = 900\nretention_days = 14\n";

async fn run(gateway: &TestApp, session: &Session, app: &str, more: &[Part<'_>]) -> (u16, String) {
    let (status, _, page) = run_form(gateway, session, &format!("/apps/{app}/run"), more).await;
    (status, page)
}

/// The status, the Location or "", and the page.
async fn run_form(
    gateway: &TestApp,
    session: &Session,
    path: &str,
    more: &[Part<'_>],
) -> (u16, String, String) {
    let mut parts: Vec<Part> = vec![("name=\"form_token\"", session.form_token.as_bytes())];
    parts.extend_from_slice(more);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = client
        .post(format!("{}{path}", gateway.url()))
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .header("origin", gateway.url())
        .header("cookie", &session.cookie)
        .body(form(&parts));
    let response = request.send().await.unwrap();
    let location = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
    (response.status().as_u16(), location.unwrap_or_default(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_use_and_room_and_refuses_in_its_own_words() {
    let mut stack = Stack::create("small", PLAN).await;
    stack.settings = stack.settings_with("CAPI_RETENTION", "on");
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let app = stack.import("name = 'Files'\nprompt = 'x'\ntools = ['read_file']").await;
    let page = async |path: &str| stack.page(&gateway, path, &session.cookie).await.1;

    let start = page(&format!("/apps/{app}")).await;
    assert!(start.contains("Storage for files: 2.0 MiB of 2.0 MiB free."), "{start}");
    assert!(!page(&format!("/apps/{}", stack.app)).await.contains("Storage for files"), "it takes no files");
    let megabyte = vec![b'x'; 1 << 20];
    let files: [Part; 3] = [("name=\"files\"; filename=\"a\"", &megabyte); 3];
    let (status, refused) = run(&gateway, &session, &app, &files).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.contains("Your files do not fit: 0 B of 2.0 MiB are in use."), "{refused}");
    assert!(refused.contains("id=\"run-form\""), "the form is shown again");
    assert_eq!(run(&gateway, &session, &app, &files[..1]).await.0, 303);
    let (status, refused) = run(&gateway, &session, &app, &[]).await;
    assert_eq!(status, 409);
    assert!(refused.contains("Your plan allows 1 waiting run, and you have 1."), "{refused}");
    assert!(refused.contains("1.0 MiB of 2.0 MiB free"), "{refused}");

    let usage = page("/account/usage").await;
    for shown in ["1 of 1", "1.0 MiB of 2.0 MiB", "of 10.0 MiB", "0 of 1,000", "deleted 14 days after"] {
        assert!(usage.contains(shown), "{shown}: {usage}");
    }
    assert!(usage.contains("<progress max=\"100\" value=\"50\""), "{usage}");
    assert!(usage.contains("days before the last 14 days are empty"), "{usage}");

    // Without the setting nothing is deleted, and no page says so. A plan that is gone has quotas.
    stack.settings = stack.settings_with("CAPI_RETENTION", "off");
    stack.database.run_sql("UPDATE users SET plan = 'gone'").await;
    let gateway = TestApp::start_console(&stack).await;
    let usage = stack.page(&gateway, "/account/usage", &session.cookie).await.1;
    assert!(usage.contains("no longer has a plan") && usage.contains("1 of 1"), "{usage}");
    assert!(!usage.contains("Runs are deleted"), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_again_leads_to_its_run_whatever_the_account_uses() {
    let stack = Stack::create("small", PLAN).await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let app = stack.import("name = 'Files'\nprompt = 'x'\ntools = ['read_file']").await;
    let start = stack.page(&gateway, &format!("/apps/{app}"), &session.cookie).await.1;
    let path = start.split("action=\"").find(|rest| rest.contains("/run?once=")).unwrap();
    let path = path.split('"').next().unwrap();
    let once = path.split_once("once=").unwrap().1;
    let send = async |content: &[u8]| {
        let parts: [Part; 2] =
            [("name=\"once\"", once.as_bytes()), ("name=\"files\"; filename=\"a\"", content)];
        run_form(&gateway, &session, path, &parts).await
    };
    let (content, other) = (vec![b'x'; 1_500_000], vec![b'y'; 1_500_000]);
    let first = send(&content).await;
    assert_eq!(first.0, 303, "{first:?}");
    let again = send(&content).await;
    assert_eq!((again.0, &again.1), (303, &first.1), "the plan allows one waiting run: {again:?}");
    let changed = send(&other).await;
    assert_eq!(changed.0, 409, "{changed:?}");
    assert!(changed.2.contains("Your plan allows 1 waiting run"), "{changed:?}");
    // The same form with room for another run: the files are stored again, and do not count.
    let counted = async || {
        let sql = "SELECT request_bytes::text AS text FROM account_use";
        stack.text(sql).await.parse::<u64>().unwrap()
    };
    let before = counted().await;
    stack.database.run_sql("UPDATE runs SET status = 'cancelled', completed_at = capi_now()").await;
    assert_eq!(send(&content).await.1, first.1);
    assert_eq!(counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_above_the_ceilings_of_its_plan_is_refused_at_the_field() {
    let stack = Stack::create("small", PLAN).await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let path = format!("/apps/{}/edit", stack.app);
    let save = async |steps: &str| {
        let limits = ["seconds", "tokens", "tool_calls", "output_bytes", "workspace_bytes"]
            .map(|limit| format!("limits.{limit}"));
        let mut fields = vec![("name", "A"), ("prompt", "p"), ("base", "1"), ("limits.steps", steps)];
        fields.extend(limits.iter().map(|limit| (limit.as_str(), "5")));
        stack.form_page(&gateway, &path, &session, &fields).await
    };
    let (status, page) = save("31").await;
    assert_eq!(status, 400, "{page}");
    assert!(page.contains("Must be at most 30 on the plan small."), "{page}");
    assert!(page.contains("Fix 1 field: Steps."), "{page}");
    assert_eq!(save("30").await.0, 303);
    // A sample is lowered to the plan: its new owner has not chosen its limits.
    let fix = stack.form(&gateway, "/apps", Some(&session), &[("sample", "")]).await;
    assert_eq!(fix.status, 303, "{fix:?}");
}
