//! `gateway models …`

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use model_client::check::check;
use shared::config::{Model, ModelsFile};

use super::say;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Ask the servers of the models file, and print what works and which settings to write. It needs the
    /// keys of the run-worker. On a server that costs money, each model costs some thousand tokens, and one
    /// without `context_window` also an input of 1 MB.
    Check(Check),
}

#[derive(Args)]
pub(super) struct Check {
    /// Only the model with this id.
    id: Option<String>,
    /// TOML file of language models.
    #[arg(long, env = "CAPI_MODELS")]
    models: PathBuf,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Check(command) = self;
        let file = ModelsFile::read(&command.models)?;
        let mut silent = Vec::new();
        for (index, model) in command.chosen(&file)?.into_iter().enumerate() {
            if index > 0 {
                say("");
            }
            if !check(model, &say).await {
                silent.push(model.id.as_str());
            }
        }
        ensure!(silent.is_empty(), "no plain answer from: {}", silent.join(", "));
        Ok(())
    }
}

impl Check {
    fn chosen<'f>(&self, file: &'f ModelsFile) -> anyhow::Result<Vec<&'f Model>> {
        let Some(id) = &self.id else { return Ok(file.all().iter().collect()) };
        let known = || file.all().iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join(", ");
        let model = file.get(id);
        let model =
            model.with_context(|| format!("CAPI_MODELS has no model {id:?}; known are: {}", known()))?;
        Ok(vec![model])
    }
}
