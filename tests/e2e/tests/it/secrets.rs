//! No key, secret, password, input or model text is in any log at any level, and no raw secret in the
//! database (K2).

use e2e::{Service, Stack};
use serde_json::json;
use shared::testing::{WebhookReceiver, eventually};

/// Everything that is stored, as text.
const DUMP: &str = "
SELECT string_agg(query_to_xml(
    format('SELECT t::text AS row FROM %I t', tablename), true, false, '')::text, '') AS text
FROM pg_tables WHERE schemaname = 'public'";

#[tokio::test(flavor = "multi_thread")]
async fn k2_nothing_secret_is_logged_or_stored() {
    let mut stack = Stack::unlimited().await;
    stack.settings = stack.settings_with("CAPI_LOG", "trace");
    let gateway = stack.start_console().await;
    let worker = stack.start(Service::RunWorker).await;
    let dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::saying([500], b"receiver-canary \0 \xff").await;
    let app = stack.import_with_tools("").await;
    let report =
        json!({"title": "title-canary", "media_type": "text/plain", "content": "content-canary"}).to_string();
    let script = json!([
        {"say": "answer-canary", "call": [["save_artifact", report], ["current_time", "argument-canary"]]},
        {"say": "result-canary"},
    ]);
    let url = format!("{}?token=url-canary", receiver.url());
    let more = json!({"webhookUrl": url, "metadata": {"note": "metadata-canary"}});
    let run = stack.run_app(&gateway, &app, &format!("input-canary SCRIPT {script}"), &more).await;
    assert_eq!(run["result"]["text"], "result-canary", "{run}");
    let run = stack.run_app(&gateway, &app, "input-canary STATUS-400", &json!({})).await;
    let told = run["error"]["message"].as_str().unwrap();
    assert!(told.contains("scripted refusal of [key]"), "{told}");
    let inputs = json!({"text": 1, "other-canary": "input-canary"});
    let wrong = json!({"appId": app, "inputs": inputs, "metadata": "metadata-canary"});
    assert_eq!(stack.post(&gateway, "/api/v1/runs?query-canary=1", &wrong).await.status, 400);
    let mistyped = stack.mistyped_key();
    let refused =
        stack.client().get(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&mistyped).send().await;
    assert_eq!(refused.unwrap().status(), 401);
    eventually("the webhook is tried", async || receiver.received().pop()).await;
    eventually("and recorded", async || {
        // The receiver has no public address, so its answer is not stored.
        let sql = "SELECT (count(*) > 0 AND max(response_body) IS NULL)::text AS text FROM webhook_attempts";
        (stack.text(sql).await == "true").then_some(())
    })
    .await;

    let session = stack.session(&gateway, e2e::console::EMAIL).await;
    let guess = [("email", e2e::console::EMAIL), ("password", "password-canary")];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &guess).await.status, 401);
    let cookie = session.cookie.split_once('=').unwrap().1.to_owned();
    let secret = stack.webhook_secret().await;
    let password = |url: &str| url::Url::parse(url).unwrap().password().unwrap_or_default().to_owned();
    let secrets = [
        stack.key.clone(),
        cookie,
        session.form_token.clone(),
        mistyped,
        secret.trim_start_matches("whsec_").to_owned(),
        e2e::MODEL_KEY.to_owned(),
        e2e::PASSWORD.to_owned(),
        stack.settings.iter().find(|(name, _)| name == "CAPI_SECRET_KEY").unwrap().1.clone(),
        password(&stack.database.url),
    ];
    let contents = ["canary".to_owned(), "scripted refusal".to_owned()];
    for process in [&gateway, &worker, &dispatcher] {
        let log = process.log();
        assert!(log.contains("listening"), "{log}");
        for (number, needle) in secrets.iter().chain(&contents).filter(|needle| needle.len() > 5).enumerate()
        {
            let line = log.lines().find(|line| line.contains(needle.as_str()));
            assert_eq!(line, None, "needle {number}");
        }
    }
    let dump = stack.text(DUMP).await;
    assert!(dump.contains("input-canary"), "the dump holds what is stored");
    assert!(!dump.contains("receiver-canary"), "an answer from inside is stored");
    for (number, needle) in secrets.iter().enumerate().filter(|(_, needle)| needle.len() > 8) {
        assert!(!dump.contains(needle.as_str()), "needle {number} is stored");
    }
}
