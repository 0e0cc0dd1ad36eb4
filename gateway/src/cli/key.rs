//! `gateway key …`

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::config::Plans;
use shared::db::{DbError, lock_user, statement};
use shared::ids::{ApiKeyId, AppId};

use super::{OnAccount, say};
use crate::auth::ApiKey;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a key and print it: it is shown this once.
    Create(Create),
    /// List an account's keys: id, display prefix, name, state.
    List(OnAccount),
    /// Revoke a key, effective on the next request everywhere.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    account: OnAccount,
    /// What it is for, for example "CI".
    #[arg(long)]
    name: String,
    /// The one app that it may see and run.
    #[arg(long)]
    app: Option<uuid::Uuid>,
    /// TOML file that adds to or overrides the built-in plans.
    #[arg(long, env = "CAPI_PLANS")]
    plans: Option<std::path::PathBuf>,
}

#[derive(Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    account: OnAccount,
    /// The key's id, as `key list` shows it.
    #[arg(long)]
    id: uuid::Uuid,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(account) => list(&account).await,
            Self::Revoke(revoke) => {
                let (mut conn, user) = revoke.account.open().await?;
                let revoked = statement("UPDATE api_keys SET revoked_at = capi_now() WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL")
                    .bind::<SqlUuid, _>(revoke.id)
                    .bind::<SqlUuid, _>(user.uuid())
                    .execute(&mut conn)
                    .await?;
                ensure!(revoked == 1, "the account has no active key with the id {}", revoke.id);
                Ok(())
            }
        }
    }
}

#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = Text)]
    plan: String,
    #[diesel(sql_type = BigInt)]
    active: i64,
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        ensure!((1..=100).contains(&self.name.chars().count()), "--name must have 1 to 100 characters");
        let plans = Plans::read(self.plans.as_deref())?;
        let (mut conn, user) = self.account.open().await?;
        let app = self.app.map(AppId::from);
        let key = ApiKey::generate();
        let refusal = conn
            .build_transaction()
            .run(async |conn| {
                // Two creates at once would both find the last place free.
                lock_user(conn, user).await?;
                let standing: Standing = statement(
                    "SELECT u.plan, (SELECT count(*) FROM api_keys k WHERE k.user_id = u.id AND k.revoked_at IS NULL
                                     AND (k.expires_at IS NULL OR k.expires_at > capi_now())) AS active
                     FROM users u WHERE u.id = $1",
                )
                .bind::<SqlUuid, _>(user.uuid())
                .get_result(conn)
                .await?;
                let Some(plan) = plans.get(&standing.plan).filter(|plan| plan.api) else {
                    return Ok(Some(format!("the plan {:?} does not include API keys; see `gateway user set-plan`", standing.plan)));
                };
                if standing.active >= i64::from(plan.api_keys) {
                    return Ok(Some(format!("the account has {} active keys, the most its plan allows; revoke one first", standing.active)));
                }
                let made = statement(
                    "INSERT INTO api_keys (id, user_id, name, sha256, display_prefix, app_id)
                     SELECT $1, $2, $3, $4, $5, $6
                     WHERE $6 IS NULL OR EXISTS (SELECT 1 FROM apps WHERE id = $6 AND user_id = $2)",
                )
                .bind::<SqlUuid, _>(ApiKeyId::generate().uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Text, _>(&self.name)
                .bind::<Binary, _>(key.sha256())
                .bind::<Text, _>(key.display_prefix())
                .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
                .execute(conn)
                .await?;
                Ok::<_, DbError>((made == 0).then(|| "--app: the account has no such app".to_owned()))
            })
            .await
            .context("cannot create the key")?;
        if let Some(refusal) = refusal {
            bail!(refusal);
        }
        say(key.reveal());
        Ok(())
    }
}

async fn list(account: &OnAccount) -> anyhow::Result<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let (mut conn, user) = account.open().await?;
    let rows: Vec<Row> = statement(
        "SELECT concat_ws(E'\\t', id, display_prefix || '…', name,
                CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= capi_now() THEN 'expired' ELSE 'active' END,
                'last used ' || coalesce(to_char(last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI\"Z\"'), 'never')) AS line
         FROM api_keys WHERE user_id = $1 ORDER BY created_at",
    )
    .bind::<SqlUuid, _>(user.uuid())
    .load(&mut conn)
    .await?;
    for row in rows {
        say(&row.line);
    }
    Ok(())
}
