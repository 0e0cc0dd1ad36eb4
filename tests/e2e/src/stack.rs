//! A database, queues, a scripted model, an account, and as many services as a test asks for.

use std::process::Stdio;

use bytes::Bytes;
use diesel::sql_types::{BigInt, Binary, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::statement;
use shared::ids::{AppId, ArtifactId, RunId};
use shared::storage::{Artifacts, ObjectKey};
use shared::testing::{ScriptedModel, TestDatabase, TestQueues};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use url::Url;

use crate::process::{Process, Service, bin_dir};

const EMAIL: &str = "ada@example.com";
/// Of every account.
pub const PASSWORD: &str = "correct horse";
/// What the scripted model is asked with.
pub const MODEL_KEY: &str = "sk-model-7f3a9c51";
const SECRET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const APP: &str = r#"
name = "Echo"
prompt = "{{ text }}"
[[inputs]]
name = "text"
type = "text"
required = true
[[inputs]]
name = "count"
type = "number"
"#;

/// Sends its input `text` to the model, which may call every tool.
const TOOLS_APP: &str = r#"
name = "Tools"
prompt = "{{ text }}"
tools = ["current_time", "edit_file", "fetch_url", "list_files", "python", "read_file", "save_artifact", "shell", "write_file"]
[[inputs]]
name = "text"
type = "text"
"#;

/// A plan that limits nothing that a test could reach, and the file that has it.
const UNLIMITED: (&str, &str) =
    ("big", "[plans.big]\napi = true\nrequests_per_minute = 10000\napi_keys = 10\nrunning_runs = 1000\n");

/// What an account calls the API with.
#[derive(Debug, Clone)]
pub struct Account {
    /// Of `gateway … --email`.
    pub email: String,
    /// An API key.
    pub key: String,
    /// Its app: it sends its input `text` to the model.
    pub app: AppId,
}

/// See the module.
pub struct Stack {
    /// The truth.
    pub database: TestDatabase,
    /// The queues.
    pub queues: TestQueues,
    /// The model.
    pub model: ScriptedModel,
    /// An API key of the account.
    pub key: String,
    /// The account's app: it sends its input `text` to the model.
    pub app: AppId,
    /// What every service is started with; a test may change it before it starts more.
    pub settings: Vec<(String, String)>,
    pub(crate) client: reqwest::Client,
    dir: tempfile::TempDir,
}

impl Stack {
    /// Everything but the services; `plans` is the content of CAPI_PLANS.
    pub async fn create(plan: &str, plans: &str) -> Self {
        Self::create_over(TestDatabase::create().await, TestQueues::create(), plan, plans).await
    }

    /// The same over a database and queues that were made elsewhere.
    pub async fn create_over(database: TestDatabase, queues: TestQueues, plan: &str, plans: &str) -> Self {
        let model = ScriptedModel::start().await;
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a file can be written");
            path.display().to_string()
        };
        let settings = [
            ("CAPI_DATABASE_URL", database.url.clone()),
            ("CAPI_AMQP_URL", queues.url.clone()),
            ("CAPI_QUEUE_PREFIX", queues.prefix.clone()),
            ("CAPI_MODELS", file("models.toml", &model.models_file())),
            ("CAPI_PLANS", file("plans.toml", &format!("[plans]\n{plans}"))),
            ("CAPI_SECRET_KEY", SECRET_KEY.to_owned()),
            ("CAPI_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
            ("CAPI_FETCH_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
            ("CAPI_ARTIFACTS_URL", format!("file://{}/artifacts", dir.path().display())),
            ("CAPI_PUBLIC_URL", "http://capi.test".to_owned()),
            (ScriptedModel::KEY_VARIABLE, MODEL_KEY.to_owned()),
            ("CAPI_LEASE_SECONDS", "3".to_owned()),
            ("CAPI_LOG", "info".to_owned()),
            ("CAPI_SANDBOX_PYTHON", std::env::var("CAPI_TEST_SANDBOX_PYTHON").unwrap_or_default()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        file("app.toml", APP);
        let client = reqwest::Client::new();
        let mut stack = Self {
            database,
            queues,
            model,
            key: String::new(),
            app: AppId::generate(),
            settings,
            client,
            dir,
        };
        Account { key: stack.key, app: stack.app, .. } = stack.account(EMAIL, plan).await;
        stack
    }

    /// Creates an account with an app and a key.
    pub async fn account(&self, email: &str, plan: &str) -> Account {
        self.cli(
            &["user", "create", "--email", email, "--plan", plan, "--password-stdin"],
            &format!("{PASSWORD}\n"),
        )
        .await;
        let app_file = self.dir.path().join("app.toml").display().to_string();
        let app = self.cli(&["app", "import", &app_file, "--email", email], "").await;
        let app = app.parse().expect("the import prints the app's id");
        let key = self.cli(&["key", "create", "--name", "test", "--email", email], "").await;
        Account { email: email.to_owned(), key, app }
    }

    /// Imports an app of the account's; its id.
    pub async fn import(&self, app_file: &str) -> String {
        let path = self.dir.path().join("imported.toml");
        std::fs::write(&path, app_file).expect("a file can be written");
        self.on_account(&["app", "import", &path.display().to_string()]).await
    }

    /// An app whose model may call every tool, with more lines for its file; its id.
    pub async fn import_with_tools(&self, more: &str) -> String {
        self.import(&format!("{TOOLS_APP}{more}")).await
    }

    /// Gives a run an artifact, as a worker does.
    pub async fn add_artifact(&self, run: RunId, id: ArtifactId, kind: &str, title: &str, bytes: Bytes) {
        let sql = "INSERT INTO artifacts (id, run_id, type, title, size, sha256) VALUES ($1, $2, $3, $4, $5, sha256($6))";
        statement(sql)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<Text, _>(kind)
            .bind::<Text, _>(title)
            .bind::<BigInt, _>(i64::try_from(bytes.len()).expect("a length"))
            .bind::<Binary, _>(bytes.as_ref())
            .execute(&mut self.database.conn().await)
            .await
            .expect("the artifact is written");
        self.artifacts().put(&ObjectKey::artifact(run, id), bytes).await.expect("the bytes are stored");
    }

    /// The account's key with its last character changed.
    #[must_use]
    pub fn mistyped_key(&self) -> String {
        let (rest, last) = self.key.split_at(self.key.len() - 1);
        format!("{rest}{}", if last == "x" { 'y' } else { 'x' })
    }

    /// Where artifacts are.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        let url = Url::from_directory_path(self.dir.path().join("artifacts")).expect("an absolute path");
        Artifacts::open(&url).expect("the store opens")
    }

    /// The directory that they are in.
    #[must_use]
    pub fn artifacts_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("artifacts")
    }

    /// Files that are stored for a run.
    #[must_use]
    pub fn stored(&self, run: RunId) -> usize {
        let dir = self.dir.path().join(format!("artifacts/runs/{run}/artifacts"));
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }

    /// A stack of the plan `pro`.
    pub async fn pro() -> Self {
        Self::create("pro", "").await
    }

    /// A stack whose plan limits nothing that a test could reach.
    pub async fn unlimited() -> Self {
        Self::create(UNLIMITED.0, UNLIMITED.1).await
    }

    /// The same over a database and queues that were made elsewhere.
    pub async fn unlimited_over(database: TestDatabase, queues: TestQueues) -> Self {
        Self::create_over(database, queues, UNLIMITED.0, UNLIMITED.1).await
    }

    /// `gateway … --email` of the account; what it prints.
    pub async fn on_account(&self, arguments: &[&str]) -> String {
        self.cli(&[arguments, &["--email", EMAIL]].concat(), "").await
    }

    /// The gateway's command line, with `input` on standard input; what it prints.
    pub async fn cli(&self, arguments: &[&str], input: &str) -> String {
        let (printed, said, good) = self.try_cli(arguments, input).await;
        assert!(good, "gateway {arguments:?}: {said}");
        printed
    }

    /// The same for a command that may fail: standard output, standard error, whether it succeeded.
    pub async fn try_cli(&self, arguments: &[&str], input: &str) -> (String, String, bool) {
        let mut child = Command::new(bin_dir().join("gateway"))
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway is built (cargo build --workspace --bins)");
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (text(&output.stdout), text(&output.stderr), output.status.success())
    }

    /// Starts a service and waits until it is ready.
    pub async fn start(&self, service: Service) -> Process {
        Process::start(service, &self.settings).await
    }

    /// The same with a setting of its own.
    pub async fn start_with(&self, service: Service, name: &str, value: &str) -> Process {
        Process::start(service, &self.settings_with(name, value)).await
    }

    /// The settings, one of them changed.
    #[must_use]
    pub fn settings_with(&self, name: &str, value: &str) -> Vec<(String, String)> {
        let others = self.settings.iter().filter(|(other, _)| other != name).cloned();
        others.chain([(name.to_owned(), value.to_owned())]).collect()
    }
}
