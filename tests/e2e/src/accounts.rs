//! Accounts, keys and apps of a stack, made with the functions that the gateway's commands and pages call.

use std::path::Path;

use diesel::sql_types::{Array, Binary, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use gateway_domain::accounts::Actor;
use gateway_domain::accounts::keys::{self, ListedKey};
pub use gateway_domain::accounts::keys::{KeyRefusal, NewKey};
use gateway_domain::accounts::passwords::Passwords;
use gateway_domain::accounts::users::{self, NewPassword, NewUser};
pub use gateway_domain::accounts::{ApiKey, Scope, Scopes};
use gateway_domain::apps::{Checks, parse_definition, store};
use secrecy::{ExposeSecret, SecretString};
use shared::config::{ModelsFile, Plans, Quotas, SearchFile, SecretKeyConfig};
use shared::db::statement;
use shared::definition_checker::DefinitionChecker;
use shared::encryption::EncryptionKey;
use shared::ids::{AppId, UserId};
use shared::webhook_secrets;
use tokio::sync::OnceCell;

use crate::address::Gateway;
use crate::stack::Stack;

/// The email of the account that every stack begins with.
pub const EMAIL: &str = "ada@example.com";
/// The password of every account.
pub const PASSWORD: &str = "correct horse";

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

/// Sends its input `text` to the model, which may call every tool but web_search: that needs a provider.
const TOOLS_APP: &str = r#"
name = "Tools"
prompt = "{{ text }}"
tools = [
    "current_time", "edit_file", "fetch_url", "list_files", "python", "read_file", "save_artifact", "shell",
    "write_file",
]
[[inputs]]
name = "text"
type = "text"
"#;

/// An account that calls the API.
#[derive(Debug, Clone)]
pub struct Account {
    /// For `gateway … --email`.
    pub email: String,
    /// An API key.
    pub key: String,
    /// An app that sends its input `text` to the model.
    pub app: AppId,
}

impl Stack {
    /// Creates an account with an app and a key.
    pub async fn account(&self, email: &str, plan: &str) -> Account {
        self.account_without_key(email, plan).await;
        let user = self.user(email).await;
        let app = self.import_for(user, APP).await;
        let new = NewKey { name: "test".to_owned(), app: None, days: None, scopes: Scopes::DEFAULT };
        let key = self.key_for(user, &new).await.expect("the plan has room for a key");
        Account { email: email.to_owned(), key, app }
    }

    /// Imports an app for this account whose model may call every tool. Its id.
    pub async fn tools_app_of(&self, email: &str) -> String {
        self.import_for(self.user(email).await, TOOLS_APP).await.to_string()
    }

    /// Creates an account whose app may call every tool, and runs of it; their ids.
    pub async fn runs_of(
        &self,
        gateway: &impl Gateway,
        email: &str,
        plan: &str,
        text: &str,
        runs: usize,
    ) -> Vec<String> {
        let account = self.account(email, plan).await;
        let app = self.tools_app_of(email).await;
        let body = serde_json::json!({"appId": app, "inputs": {"text": text}});
        let mut ids = Vec::new();
        for _ in 0..runs {
            ids.push(self.create_run_at(gateway, "/api/v1/runs", &account.key, &body).await);
        }
        ids
    }

    /// Creates an account that has nothing yet.
    pub async fn account_without_key(&self, email: &str, plan: &str) {
        let new = NewUser { email, password_hash: hash_of_password().await, plan };
        let made = users::create(&self.database.db, &self.encryption_key(), new, Actor::Operator).await;
        made.expect("the account is stored").expect("the email is free");
    }

    /// Imports an app of the stack's account; its id.
    pub async fn import(&self, app_file: &str) -> String {
        self.import_for(self.user(EMAIL).await, app_file).await.to_string()
    }

    /// Imports an app of this account.
    pub async fn import_of(&self, email: &str, app_file: &str) -> AppId {
        self.import_for(self.user(email).await, app_file).await
    }

    /// Imports an app whose model may call every tool; `more` is appended to its file. Its id.
    pub async fn import_with_tools(&self, more: &str) -> String {
        self.import(&format!("{TOOLS_APP}{more}")).await
    }

    /// Creates a key of the stack's account.
    pub async fn create_key(&self, name: &str) -> String {
        let new = NewKey { name: name.to_owned(), app: None, days: None, scopes: Scopes::DEFAULT };
        self.try_create_key(&new).await.expect("the plan has room for a key")
    }

    /// The same with all that a key can have; or why it was refused.
    pub async fn try_create_key(&self, new: &NewKey) -> Result<String, KeyRefusal> {
        self.key_for(self.user(EMAIL).await, new).await
    }

    /// Creates a key of an account that has all scopes.
    pub async fn create_key_with_all_scopes(&self, email: &str) -> String {
        let scopes = Scope::ALL.into_iter().collect();
        let new = NewKey { name: "all scopes".to_owned(), app: None, days: None, scopes };
        self.key_for(self.user(email).await, &new).await.expect("the plan has room for a key")
    }

    /// Gives the stack's account keys beyond what its plan allows.
    pub async fn add_keys(&self, count: usize) -> Vec<String> {
        const ADD: &str = "INSERT INTO api_keys (id, user_id, name, sha256, display_prefix)
                           SELECT gen_random_uuid(), $1, 'added', sha256, 'capi_added' FROM unnest($2) AS \
                           sha256";
        let keys: Vec<_> = (0..count).map(|_| ApiKey::generate()).collect();
        let hashes: Vec<_> = keys.iter().map(|key| key.sha256().to_vec()).collect();
        let user = self.user(EMAIL).await;
        let adding = statement(ADD).bind::<SqlUuid, _>(user.uuid()).bind::<Array<Binary>, _>(hashes);
        adding.execute(&mut self.database.conn().await).await.expect("the keys are stored");
        keys.iter().map(|key| key.reveal().to_owned()).collect()
    }

    /// The keys of the stack's account.
    pub async fn keys(&self) -> Vec<ListedKey> {
        let user = self.user(EMAIL).await;
        keys::list(&self.database.db, user).await.expect("the keys are read")
    }

    /// Revokes the first active key of this name.
    pub async fn revoke_key(&self, name: &str) {
        let user = self.user(EMAIL).await;
        let listed = self.keys().await;
        let key = listed.iter().find(|key| key.name == name && key.state == "active");
        let key = key.expect("the account has the key").id;
        let revoked = keys::revoke(&self.database.db, user, key, Actor::Operator).await;
        assert!(revoked.expect("the key is written"), "the key was active");
    }

    /// Moves an account to another plan.
    pub async fn set_plan(&self, email: &str, plan: &str) {
        let user = self.user(email).await;
        let set = users::set_plan(&self.database.db, user, plan, Actor::Operator).await;
        set.expect("the plan is stored");
    }

    /// Gives the stack's account [`PASSWORD`] again and ends its sessions.
    pub async fn reset_password(&self) {
        let user = self.user(EMAIL).await;
        let new = NewPassword { hash: hash_of_password().await, instead_of: None, keep: None };
        let set = users::set_password(&self.database.db, user, new, Actor::Operator).await;
        assert!(set.expect("the password is stored"), "the account has another password");
    }

    /// The current webhook secret of the stack's account.
    pub async fn webhook_secret(&self) -> String {
        let user = self.user(EMAIL).await;
        let mut conn = self.database.conn().await;
        let active = webhook_secrets::active(&mut conn, &self.encryption_key(), user).await;
        let newest = active.expect("the secrets open").into_iter().next();
        newest.expect("the account has a secret").expose_secret().to_owned()
    }

    async fn user(&self, email: &str) -> UserId {
        let found = users::find(&self.database.db, email).await;
        found.expect("the account is read").expect("the account exists").id
    }

    async fn import_for(&self, user: UserId, app_file: &str) -> AppId {
        let models = ModelsFile::read(Path::new(self.setting("CAPI_MODELS"))).expect("the models are read");
        let search = self.settings.iter().find(|(name, _)| name == "CAPI_SEARCH");
        let search = SearchFile::read(search.map(|(_, file)| Path::new(file)));
        let search = search.expect("the search file is right");
        let definition = {
            let checker = DefinitionChecker::start().expect("the checker starts");
            let with = Checks { models: &models, search: &search, checker: &checker, account: user };
            parse_definition(app_file, with).await.expect("the app file is right")
        };
        let stored =
            store::import(&self.database.db, (user, &Quotas::default()), &definition, Actor::Operator).await;
        stored.expect("the app is stored").0
    }

    async fn key_for(&self, user: UserId, new: &NewKey) -> Result<String, KeyRefusal> {
        let plans = Plans::read(Some(Path::new(self.setting("CAPI_PLANS")))).expect("the plans are read");
        let made = keys::create(&self.database.db, user, new, &plans, Actor::Operator).await;
        made.map(|key| key.reveal().to_owned())
    }

    fn encryption_key(&self) -> EncryptionKey {
        let key = Some(SecretString::from(self.setting("CAPI_SECRET_KEY")));
        let config = SecretKeyConfig { secret_key: key, secret_key_file: None };
        config.read().expect("the stack's secret key is right")
    }
}

/// A hash is slow on purpose; all accounts of a test process share one.
async fn hash_of_password() -> &'static str {
    static HASH: OnceCell<String> = OnceCell::const_new();
    let hashing = async || {
        let passwords = Passwords::new().expect("hashes can be made");
        passwords.hash(PASSWORD.into()).await.expect("the password is hashed")
    };
    HASH.get_or_init(hashing).await
}
