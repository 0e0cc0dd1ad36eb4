//! `gateway user …`

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use shared::config::{Plans, SecretKeyConfig};

use gateway_domain::accounts::Actor;
use gateway_domain::accounts::passwords::{Passwords, too_weak};
use gateway_domain::accounts::users::{self, NewPassword, NewUser};

use super::{OnAccount, say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account and print its id.
    Create(Create),
    /// Change an account's plan.
    SetPlan(SetPlan),
    /// Set an account's password and end its sessions.
    SetPassword(SetPassword),
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

#[derive(Args)]
pub(super) struct SetPassword {
    #[command(flatten)]
    account: OnAccount,
    /// Read the password from standard input.
    #[arg(long, required = true)]
    password_stdin: bool,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::SetPlan(set) => {
                check_plan(&set.plan, set.plans.as_deref())?;
                let (db, user) = set.account.open().await?;
                Ok(users::set_plan(&db, user, &set.plan, Actor::Operator).await?)
            }
            Self::SetPassword(set) => {
                let hash = hash_of_standard_input().await?;
                let (db, user) = set.account.open().await?;
                let new = NewPassword { hash: &hash, instead_of: None, keep: None };
                users::set_password(&db, user, new, Actor::Operator).await?;
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        check_plan(&self.plan, self.plans.as_deref())?;
        let key = self.secret_key.read()?;
        let email = self.account.email.trim();
        if let Some(wrong) = users::wrong_email(email) {
            bail!("--email {wrong}");
        }
        let hash = hash_of_standard_input().await?;
        let new = NewUser { email, password_hash: &hash, plan: &self.plan };
        let created = users::create(&self.account.on.open().await?, &key, new, Actor::Operator).await?;
        let user = created.with_context(|| format!("an account with the email {email} exists already"))?;
        say(&user.to_string());
        Ok(())
    }
}

async fn hash_of_standard_input() -> anyhow::Result<String> {
    let password =
        std::io::read_to_string(std::io::stdin()).context("cannot read the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']);
    if let Some(weak) = too_weak(password) {
        bail!(weak);
    }
    Ok(Passwords::new()?.hash(SecretString::from(password)).await?)
}

fn check_plan(plan: &str, file: Option<&std::path::Path>) -> anyhow::Result<()> {
    let plans = Plans::read(file)?;
    let names: Vec<_> = plans.names().collect();
    ensure!(plans.get(plan).is_some(), "--plan {plan:?} is unknown; known are: {}", names.join(", "));
    Ok(())
}
