//! `gateway webhook-secret …`

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_domain::accounts::{Actor, webhook_secret};
use secrecy::ExposeSecret;
use shared::config::SecretKeyConfig;

use super::{OnAccount, say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print the current secret.
    Show(OnSecret),
    /// Make and print a new one; the old one stays valid for 24 h.
    Rotate(OnSecret),
}

#[derive(Args)]
pub(super) struct OnSecret {
    #[command(flatten)]
    account: OnAccount,
    #[command(flatten)]
    secret_key: SecretKeyConfig,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (Self::Show(on) | Self::Rotate(on)) = &self;
        let key = on.secret_key.read()?;
        let (db, user) = on.account.open().await?;
        let secret = match self {
            Self::Show(_) => {
                let active = webhook_secret::reveal(&db, &key, user, Actor::Operator).await?;
                active.secrets.into_iter().next()
            }
            Self::Rotate(_) => webhook_secret::rotate(&db, &key, user, None, Actor::Operator).await?,
        };
        let secret =
            secret.context("the account has no webhook secret; run `gateway webhook-secret rotate`")?;
        say(secret.expose_secret());
        Ok(())
    }
}
