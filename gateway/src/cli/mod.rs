//! The gateway's commands: serving, and what an operator does by hand.

mod account;
mod app;
mod key;
mod models;
mod queue;
mod store;
mod webhook_secret;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use gateway_domain::accounts::users;
use secrecy::ExposeSecret;
use shared::config::{DatabaseConfig, LogConfig};
use shared::db::{Db, migrate_up};
use shared::ids::UserId;

use crate::config::Config;

/// capi's gateway.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API until SIGTERM.
    Serve(Box<Config>),
    /// Bring the database's schema up to date.
    Migrate(OnDatabase),
    /// Print the API's OpenAPI document.
    Openapi,
    /// Accounts.
    #[command(subcommand)]
    User(account::Command),
    /// API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Agent apps.
    #[command(subcommand)]
    App(app::Command),
    /// Webhook signing secrets.
    #[command(subcommand)]
    WebhookSecret(webhook_secret::Command),
    /// The broker's queues.
    #[command(subcommand)]
    Queue(queue::Command),
    /// The artifact store.
    #[command(subcommand)]
    Store(store::Command),
    /// Language models.
    #[command(subcommand)]
    Models(models::Command),
}

/// How long a command waits for the database.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// What every command on the database needs.
#[derive(Args, Clone)]
struct OnDatabase {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    log: LogConfig,
}

/// A command on one account.
#[derive(Args, Clone)]
struct OnAccount {
    #[command(flatten)]
    on: OnDatabase,
    /// The account.
    #[arg(long)]
    email: String,
}

impl OnDatabase {
    /// The database, once it answers. A command waits longer than a request: a busy database may need some
    /// seconds for a new connection.
    async fn open(&self) -> anyhow::Result<Db> {
        let db = Db::new(&self.database, "capi-gateway-cli")?;
        let deadline = Instant::now() + CONNECT_DEADLINE;
        while let Err(error) = db.get().await {
            if Instant::now() > deadline {
                return Err(error).context("CAPI_DATABASE_URL: cannot connect");
            }
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
        Ok(db)
    }
}

impl OnAccount {
    /// The database, and the account's id.
    async fn open(&self) -> anyhow::Result<(Db, UserId)> {
        let db = self.on.open().await?;
        let found = users::find(&db, &self.email).await.context("CAPI_DATABASE_URL: cannot read")?;
        let user = found.with_context(|| format!("no account has the email {}", self.email))?.id;
        Ok((db, user))
    }
}

impl Cli {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(config) => {
                let metrics = shared::telemetry::install(&config.log)?;
                crate::start(&config, Some(metrics)).await?.run_until_signalled().await
            }
            Command::Migrate(on) => {
                shared::telemetry::install(&on.log)?;
                for name in migrate_up(on.database.url.expose_secret()).await? {
                    say(&format!("applied {name}"));
                }
                Ok(())
            }
            Command::Openapi => {
                say(crate::openapi_document().trim_end());
                Ok(())
            }
            Command::User(command) => command.run().await,
            Command::Key(command) => command.run().await,
            Command::App(command) => command.run().await,
            Command::WebhookSecret(command) => command.run().await,
            Command::Queue(command) => command.run().await,
            Command::Store(command) => command.run().await,
            Command::Models(command) => command.run().await,
        }
    }
}

/// A command's answer, for people and scripts.
#[expect(clippy::print_stdout, reason = "standard output is a command's answer")]
fn say(line: &str) {
    println!("{line}");
}
