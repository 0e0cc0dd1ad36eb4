//! Parse, install the process globals, do what was asked.

use clap::Parser;
use gateway::cli::Cli;

fn main() -> anyhow::Result<()> {
    shared::lifecycle::run_to_end(Cli::parse().run())
}
