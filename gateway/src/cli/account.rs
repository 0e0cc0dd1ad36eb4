//! `gateway user …`

use anyhow::{Context as _, bail, ensure};
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use clap::{Args, Subcommand};
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use shared::config::{Plans, SecretKeyConfig};
use shared::db::statement;
use shared::ids::UserId;
use shared::webhook_secrets::{self, SecretsError};

use super::{OnAccount, say};

const MIN_PASSWORD_CHARS: usize = 10;
/// OWASP's minimum for argon2id: 19 MiB, two passes.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;

/// Nothing where the email is taken.
const CREATE: &str = "
WITH made AS (
    INSERT INTO users (id, email, password_hash, plan) VALUES ($1, $2, $3, $4)
    ON CONFLICT (lower(email)) DO NOTHING RETURNING id
)
INSERT INTO user_slots (user_id) SELECT id FROM made";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account and print its id.
    Create(Create),
    /// Change an account's plan.
    SetPlan(SetPlan),
}

#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    account: OnAccount,
    /// free, pro, team, or one of CAPI_PLANS.
    #[arg(long)]
    plan: String,
    /// Read the password from standard input.
    #[arg(long, required = true)]
    password_stdin: bool,
    #[command(flatten)]
    secret_key: SecretKeyConfig,
    /// TOML file that adds to or overrides the built-in plans.
    #[arg(long, env = "CAPI_PLANS")]
    plans: Option<std::path::PathBuf>,
}

#[derive(Args)]
pub(super) struct SetPlan {
    #[command(flatten)]
    account: OnAccount,
    /// free, pro, team, or one of CAPI_PLANS.
    #[arg(long)]
    plan: String,
    /// TOML file that adds to or overrides the built-in plans.
    #[arg(long, env = "CAPI_PLANS")]
    plans: Option<std::path::PathBuf>,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::SetPlan(set) => {
                check_plan(&set.plan, set.plans.as_deref())?;
                let (mut conn, user) = set.account.open().await?;
                statement("UPDATE users SET plan = $2 WHERE id = $1")
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Text, _>(&set.plan)
                    .execute(&mut conn)
                    .await?;
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        check_plan(&self.plan, self.plans.as_deref())?;
        let key = self.secret_key.read()?;
        let email = self.account.email.trim().to_owned();
        ensure!(
            email.contains('@') && email.len() <= 254,
            "--email must be an email address of at most 254 bytes"
        );
        let password = std::io::read_to_string(std::io::stdin())
            .context("cannot read the password from standard input")?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        ensure!(
            password.chars().count() >= MIN_PASSWORD_CHARS,
            "the password must have at least {MIN_PASSWORD_CHARS} characters"
        );
        let hash = tokio::task::spawn_blocking(move || hash(&password)).await??;
        let mut conn = self.account.on.connect().await?;
        let user = UserId::generate();
        let made = conn
            .transaction(async |conn| {
                let made = statement(CREATE)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Text, _>(&email)
                    .bind::<Text, _>(&hash)
                    .bind::<Text, _>(&self.plan)
                    .execute(conn)
                    .await?;
                if made == 1 {
                    webhook_secrets::rotate(conn, &key, user).await?;
                }
                Ok::<_, SecretsError>(made)
            })
            .await?;
        if made == 0 {
            bail!("an account with the email {email} exists already");
        }
        say(&user.to_string());
        Ok(())
    }
}

fn check_plan(plan: &str, file: Option<&std::path::Path>) -> anyhow::Result<()> {
    let plans = Plans::read(file)?;
    let names: Vec<_> = plans.names().collect();
    ensure!(plans.get(plan).is_some(), "--plan {plan:?} is unknown; known are: {}", names.join(", "));
    Ok(())
}

fn hash(password: &str) -> anyhow::Result<String> {
    let params =
        Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(hash.to_string())
}
