//! `gateway key …`

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gateway_domain::accounts::keys::{self, KeyRefusal, MAX_DAYS, NewKey};
use gateway_domain::accounts::{Actor, Scope, Scopes};
use shared::config::Plans;
use shared::ids::AppId;
use shared::time::format_time;

use super::{OnAccount, say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a key and print it: it is shown this once.
    Create(Create),
    /// List an account's keys: id, display prefix, name, state, app, expiry, last use,
    /// scopes.
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
    /// Days until it expires; for ever where absent.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=i64::from(MAX_DAYS)))]
    days: Option<i32>,
    /// What it may do: `runs` (create, read, cancel and delete runs) or `apps:write` (read, create, change
    /// and archive apps). May repeat.
    #[arg(long = "scope", default_value = "runs")]
    scopes: Vec<Scope>,
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
                let (db, user) = revoke.account.open().await?;
                let revoked = keys::revoke(&db, user, revoke.id.into(), Actor::Operator).await?;
                ensure!(revoked, "the account has no active key with the id {}", revoke.id);
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        if let Some(wrong) = keys::wrong_name(&self.name) {
            bail!("--name {wrong}");
        }
        let plans = Plans::read(self.plans.as_deref())?;
        let (db, user) = self.account.open().await?;
        let scopes: Scopes = self.scopes.into_iter().collect();
        let new = NewKey { name: self.name, app: self.app.map(AppId::from), days: self.days, scopes };
        let made = keys::create(&db, user, &new, &plans, Actor::Operator).await;
        let key = match made {
            Err(error @ KeyRefusal::NoApp) => return Err(error).context("--app"),
            Err(error @ KeyRefusal::Plan(_)) => return Err(error).context("see `gateway user set-plan`"),
            made => made?,
        };
        say(key.reveal());
        Ok(())
    }
}

async fn list(account: &OnAccount) -> anyhow::Result<()> {
    let (db, user) = account.open().await?;
    let time = |at: Option<DateTime<Utc>>| at.map_or("never".to_owned(), format_time);
    for key in keys::list(&db, user).await? {
        let app = key.app_id.map_or("all apps".to_owned(), |app| format!("app {app}"));
        let (expires, last_used) = (time(key.expires_at), time(key.last_used_at));
        say(&format!(
            "{}\t{}…\t{}\t{}\t{app}\texpires {expires}\tlast used {last_used}\tscopes {}",
            key.id,
            key.display_prefix,
            key.name,
            key.state,
            key.scopes()
        ));
    }
    Ok(())
}
