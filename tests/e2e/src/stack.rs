//! A database, queues, a scripted model, an account, and as many services as a test asks for.

use std::time::Duration;

use shared::ids::AppId;
use shared::testing::{ScriptedModel, TestDatabase, TestQueues};

use crate::accounts::{Account, EMAIL};
use crate::process::{Process, Service};

/// The key that workers call the scripted model with.
pub const MODEL_KEY: &str = "sk-model-7f3a9c51";
const SECRET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A plan whose limits no test reaches, and the file that defines it.
const UNLIMITED: (&str, &str) =
    ("big", "[plans.big]\napi = true\nrequests_per_minute = 10000\napi_keys = 10\nrunning_runs = 1000\n");

/// Everything around the services of one test, with one account.
pub struct Stack {
    /// The database.
    pub database: TestDatabase,
    /// The queues.
    pub queues: TestQueues,
    /// The model.
    pub model: ScriptedModel,
    /// An API key of the account.
    pub key: String,
    /// The account's app, which sends its input `text` to the model.
    pub app: AppId,
    /// The environment of every service; a test may change it before it starts more services.
    pub settings: Vec<(String, String)>,
    pub(crate) client: reqwest::Client,
    pub(crate) dir: tempfile::TempDir,
}

impl Stack {
    /// A stack whose account has this plan; `plans` is the content of CAPI_PLANS.
    pub async fn create(plan: &str, plans: &str) -> Self {
        Self::create_over(TestDatabase::create().await, TestQueues::create(), plan, plans).await
    }

    /// The same over a given database and given queues.
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
            // Many stacks run at once, and each process opens all its connections at its start.
            ("CAPI_DATABASE_POOL_SIZE", "6".to_owned()),
            ("CAPI_LOG", "info".to_owned()),
            ("CAPI_SANDBOX_PYTHON", std::env::var("CAPI_TEST_SANDBOX_PYTHON").unwrap_or_default()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let (key, app) = (String::new(), AppId::generate());
        // Gateways close idle connections after five seconds; a request must not meet that moment.
        let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(1)).build();
        let client = client.expect("a client can be made");
        let mut stack = Self { database, queues, model, key, app, settings, client, dir };
        Account { key: stack.key, app: stack.app, .. } = stack.account(EMAIL, plan).await;
        stack
    }

    /// A stack of the plan `pro`.
    pub async fn pro() -> Self {
        Self::create("pro", "").await
    }

    /// A stack whose plan has no limits that a test reaches.
    pub async fn unlimited() -> Self {
        Self::create(UNLIMITED.0, UNLIMITED.1).await
    }

    /// The same over a given database and given queues.
    pub async fn unlimited_over(database: TestDatabase, queues: TestQueues) -> Self {
        Self::create_over(database, queues, UNLIMITED.0, UNLIMITED.1).await
    }

    /// Gives the workers the default lease. For tests that count attempts or calls of the model and need no
    /// lease to expire: the short lease of a stack expires while a busy machine stalls.
    #[must_use]
    pub fn with_usual_leases(mut self) -> Self {
        self.settings = self.settings_with("CAPI_LEASE_SECONDS", "30");
        self
    }

    /// The account's key with its last character changed.
    #[must_use]
    pub fn mistyped_key(&self) -> String {
        let (rest, last) = self.key.split_at(self.key.len() - 1);
        format!("{rest}{}", if last == "x" { 'y' } else { 'x' })
    }

    /// Starts a service process and waits until it is ready.
    pub async fn start(&self, service: Service) -> Process {
        Process::start(service, &self.settings).await
    }

    /// The same with one setting changed.
    pub async fn start_with(&self, service: Service, name: &str, value: &str) -> Process {
        Process::start(service, &self.settings_with(name, value)).await
    }

    /// The settings with one of them changed.
    #[must_use]
    pub fn settings_with(&self, name: &str, value: &str) -> Vec<(String, String)> {
        let others = self.settings.iter().filter(|(other, _)| other != name).cloned();
        others.chain([(name.to_owned(), value.to_owned())]).collect()
    }

    /// The value of a setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> &str {
        let found = self.settings.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).expect("the stack has the setting")
    }
}
