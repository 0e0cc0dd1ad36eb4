//! Many accounts, each with a key and an app. With one account the bench would measure one locked row.

use anyhow::Context as _;
use diesel::sql_types::{Array, Binary, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use e2e::Stack;
use gateway_domain::accounts::ApiKey;
use secrecy::SecretString;
use shared::config::SecretKeyConfig;
use shared::db::statement;
use shared::ids::{ApiKeyId, AppId, AppVersionId, UserId};
use shared::webhook_secrets;

pub(crate) struct Account {
    pub(crate) key: String,
    pub(crate) app: AppId,
}

const INSERT_ACCOUNTS: &str = "
WITH wanted AS (SELECT * FROM unnest($1, $2, $3, $4, $5) AS w (user_id, app_id, version_id, key_id, sha256)),
u AS (
    INSERT INTO users (id, email, password_hash, plan)
    SELECT user_id, user_id || '@bench', '', 'big' FROM wanted RETURNING id
),
s AS (INSERT INTO user_slots SELECT id FROM u),
a AS (INSERT INTO apps (id, user_id, name) SELECT app_id, user_id, 'bench' FROM wanted),
v AS (
    INSERT INTO app_versions (id, app_id, version, definition)
    SELECT version_id, app_id, 1, jsonb_build_object(
        'name', 'bench',
        'prompt', '{{ text }}',
        'inputs', jsonb_build_array(jsonb_build_object('name', 'text', 'type', 'text'))
    ) FROM wanted
)
INSERT INTO api_keys (id, user_id, name, sha256, display_prefix)
SELECT key_id, user_id, 'bench', sha256, 'capi_bench' FROM wanted";

pub(crate) async fn create(stack: &Stack, count: usize) -> anyhow::Result<Vec<Account>> {
    let (mut users, mut apps, mut versions, mut keys, mut hashes) = (vec![], vec![], vec![], vec![], vec![]);
    let mut accounts = Vec::new();
    for _ in 0..count {
        let (key, app) = (ApiKey::generate(), AppId::generate());
        users.push(UserId::generate().uuid());
        apps.push(app.uuid());
        versions.push(AppVersionId::generate().uuid());
        keys.push(ApiKeyId::generate().uuid());
        hashes.push(key.sha256().to_vec());
        accounts.push(Account { key: key.reveal().to_owned(), app });
    }
    let mut conn = stack.database.conn().await;
    statement(INSERT_ACCOUNTS)
        .bind::<Array<SqlUuid>, _>(&users)
        .bind::<Array<SqlUuid>, _>(apps)
        .bind::<Array<SqlUuid>, _>(versions)
        .bind::<Array<SqlUuid>, _>(keys)
        .bind::<Array<Binary>, _>(hashes)
        .execute(&mut conn)
        .await
        .context("failed to create the accounts")?;
    let secret_key =
        stack.settings.iter().find(|(name, _)| name == "CAPI_SECRET_KEY").map(|(_, key)| key.as_str());
    let secret_key =
        SecretKeyConfig { secret_key: secret_key.map(SecretString::from), secret_key_file: None }.read()?;
    for user in users {
        webhook_secrets::rotate(&mut conn, &secret_key, user.into()).await?;
    }
    Ok(accounts)
}
