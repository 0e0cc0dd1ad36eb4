//! `gateway app …`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_domain::accounts::{Actor, users};
use gateway_domain::apps::{Checks, DefinitionFile, parse_for_plan, store};
use shared::config::{ModelsFile, Plans, SearchConfig};
use shared::definition_checker::DefinitionChecker;

use super::{OnAccount, say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Store an app file as the account's app of that name and print the app's id. An unchanged file makes no
    /// new version.
    Import(Import),
}

#[derive(Args)]
pub(super) struct Import {
    /// The app file (TOML); samples are in deploy/apps.
    file: PathBuf,
    #[command(flatten)]
    account: OnAccount,
    /// TOML file of language models.
    #[arg(long, env = "CAPI_MODELS")]
    models: PathBuf,
    /// TOML file that adds to or overrides the built-in plans, whose ceilings the app must keep.
    #[arg(long, env = "CAPI_PLANS")]
    plans: Option<PathBuf>,
    #[command(flatten)]
    search: SearchConfig,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Import(command) = self;
        let models = ModelsFile::read(&command.models)?;
        let text = std::fs::read_to_string(&command.file)
            .with_context(|| format!("cannot read {}", command.file.display()))?;
        let plans = Plans::read(command.plans.as_deref())?;
        let (db, user) = command.account.open().await?;
        let (search, checker) = (command.search.read()?, DefinitionChecker::start()?);
        let checks = Checks { models: &models, search: &search, checker: &checker, account: user };
        let plan = users::plan(&db, user).await?;
        let parsed = parse_for_plan(DefinitionFile::Toml(text), checks, (&plan, plans.get(&plan))).await;
        let definition = parsed.with_context(|| command.file.display().to_string())?;
        let (app, _) = store::import(&db, (user, &plans.quotas(&plan)), &definition, Actor::Operator).await?;
        say(&app.to_string());
        Ok(())
    }
}
