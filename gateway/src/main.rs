//! Parse, install the process globals, do what was asked.

use clap::Parser;
use gateway::cli::Cli;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Cli::parse().run().await
}
