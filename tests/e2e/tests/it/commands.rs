//! The operator's commands, as processes: what each prints, and why one is refused.

use e2e::console::EMAIL;
use e2e::{Service, Stack};
use serde_json::json;
use shared::testing::ScriptedModel;

const APP: &str = "name = 'Ada'\nprompt = 'x'";
const PASSWORD: &str = "battery staple\n";

#[tokio::test(flavor = "multi_thread")]
async fn commands_make_an_account_that_the_api_accepts() {
    let stack = Stack::pro().await;
    let email = ["--email", "new@example.com"];
    let create = ["user", "create", "--plan", "pro", "--password-stdin"];
    let user = stack.cli(&[&create[..], &email].concat(), PASSWORD).await;
    assert_eq!(user, stack.text("SELECT id::text AS text FROM users WHERE email LIKE 'new@%'").await);
    let (_, said, good) = stack.try_cli(&[&create[..], &email].concat(), PASSWORD).await;
    assert!(!good && said.contains("exists already"), "{said}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), APP).unwrap();
    let path = file.path().display().to_string();
    let import = [&["app", "import", path.as_str()][..], &email].concat();
    let app = stack.cli(&import, "").await;
    assert_eq!(stack.cli(&import, "").await, app, "an unchanged file is the same app");
    let key = stack.cli(&[&["key", "create", "--name", "first"][..], &email].concat(), "").await;

    let gateway = stack.start(Service::Gateway).await;
    let url = format!("{}/api/v1/apps/{app}/runs", gateway.url());
    let created = stack.send(stack.client().post(url).bearer_auth(&key).json(&json!({}))).await;
    assert_eq!(created.status, 202, "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_created_listed_and_revoked_by_command() {
    let stack = Stack::pro().await;
    let gateway = stack.start(Service::Gateway).await;
    let me = async |key: &str| {
        let url = format!("{}/api/v1/me", gateway.url());
        stack.send(stack.client().get(url).bearer_auth(key)).await.status
    };
    let app = stack.app.to_string();
    let create = ["key", "create", "--name", "scoped", "--days", "1", "--app", &app, "--scope", "apps:write"];
    let scoped = stack.on_account(&create).await;
    assert_eq!(me(&scoped).await, 200);
    let listed = stack.on_account(&["key", "list"]).await;
    let line = listed.lines().find(|line| line.contains("\tscoped\tactive\t")).unwrap();
    assert!(line.contains(&format!("\tapp {app}\texpires ")), "{listed}");
    assert!(line.ends_with("\tscopes apps:write"), "{listed}");
    assert!(listed.contains("\ttest\tactive\tall apps\texpires never\t"), "{listed}");
    stack.on_account(&["key", "revoke", "--id", line.split('\t').next().unwrap()]).await;
    assert_eq!(me(&scoped).await, 401);
    assert!(stack.on_account(&["key", "list"]).await.contains("\tscoped\trevoked\t"));

    let refused = async |arguments: &[&str]| {
        let create = ["key", "create", "--email", EMAIL, "--name", "refused"];
        let (_, said, good) = stack.try_cli(&[&create[..], arguments].concat(), "").await;
        assert!(!good, "{said}");
        said
    };
    assert!(refused(&["--scope", "all"]).await.contains("runs, apps:write"));
    let said = refused(&["--app", "0197f7a0-0000-7000-8000-000000000000"]).await;
    assert!(said.contains("no such app"), "{said}");
    for number in 1..10 {
        stack.create_key(&format!("key {number}")).await;
    }
    let said = refused(&[]).await;
    assert!(said.contains("revoke one first"), "{said}");
    stack.on_account(&["user", "set-plan", "--plan", "free"]).await;
    let said = refused(&[]).await;
    assert!(said.contains("does not include API keys") && said.contains("gateway user set-plan"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_webhook_secrets_are_set_by_command() {
    let stack = Stack::pro().await;
    let gateway = stack.start_console().await;
    let set = ["user", "set-password", "--email", EMAIL, "--password-stdin"];
    stack.cli(&set, PASSWORD).await;
    let form = [("email", EMAIL), ("password", PASSWORD.trim_end())];
    assert_eq!(stack.form(&gateway, "/sign-in", None, &form).await.status, 303);
    let first = stack.on_account(&["webhook-secret", "show"]).await;
    assert!(
        first.starts_with("whsec_") && first == stack.webhook_secret().await,
        "the newest secret is shown"
    );
    let second = stack.on_account(&["webhook-secret", "rotate"]).await;
    assert_ne!(second, first);
    assert_eq!(stack.on_account(&["webhook-secret", "show"]).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_checked_by_command() {
    let mut stack = Stack::pro().await;
    let (printed, said, good) = stack.try_cli(&["models", "check", "plain"], "").await;
    assert!(good, "{said}");
    let mut lines = printed.lines();
    assert!(lines.next().unwrap().starts_with("plain (http://127.0.0.1:"), "{printed}");
    assert_eq!(lines.next(), Some("  plain answer              works"));
    assert_eq!(lines.next(), Some("  stream                    works, 2 pieces"));
    assert!(printed.contains("\n  tool call                 not tried: tools = false\n"), "{printed}");
    assert!(printed.ends_with("\nSettings for the models file: none needed."), "{printed}");

    let (printed, said, good) = stack.try_cli(&["models", "check", "away"], "").await;
    assert!(!good && said.contains("no plain answer from: away"), "{said}");
    assert!(printed.contains("  plain answer              not known: "), "{printed}");
    let (_, said, good) = stack.try_cli(&["models", "check", "nothing"], "").await;
    assert!(!good && said.contains("no model \"nothing\"; known are: scripted, plain, "), "{said}");
    stack.settings.retain(|(name, _)| name != ScriptedModel::KEY_VARIABLE);
    let (printed, _, good) = stack.try_cli(&["models", "check", "scripted"], "").await;
    assert!(!good && printed.contains(&format!("{} is not set", ScriptedModel::KEY_VARIABLE)), "{printed}");
}
