//! `gateway webhook-secret …`

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use shared::config::SecretKeyConfig;
use shared::webhook_secrets;

use super::{OnAccount, say};
use crate::audit::{self, Action, Actor};

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
        let (mut conn, user) = on.account.open().await?;
        let action = match &self {
            Self::Show(_) => Action::SecretRevealed,
            Self::Rotate(_) => Action::SecretRotated,
        };
        let secret = match self {
            Self::Show(_) => {
                let active = webhook_secrets::active(&mut conn, &key, user).await?;
                active
                    .into_iter()
                    .next()
                    .context("the account has no webhook secret; run `gateway webhook-secret rotate`")?
            }
            Self::Rotate(_) => webhook_secrets::rotate(&mut conn, &key, user).await?,
        };
        audit::record(&mut conn, user, Actor::Operator, action, "").await?;
        say(secret.expose_secret());
        Ok(())
    }
}
